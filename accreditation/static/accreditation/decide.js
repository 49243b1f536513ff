// Shows only what the chosen decision asks for. Without it every field stands there and still works.
(() => {
  "use strict";

  const form = document.querySelector("[data-decide]");
  if (!form) return;

  function show() {
    const chosen = form.elements.decision.value;
    for (const part of form.querySelectorAll("[data-decisions]")) {
      part.hidden = !part.dataset.decisions.split(" ").includes(chosen);
    }
  }

  form.addEventListener("change", show);
  show();
})();
