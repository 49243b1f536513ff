// The review page: a reason is asked for only where the verdicts differ, and Ctrl+Enter goes on to the signature.
(() => {
  "use strict";

  const form = document.getElementById("review-form");
  if (!form) return;
  const reason = form.querySelector("[data-differs]");

  function show() {
    const verdict = form.elements.verdict.value;
    reason.hidden = !verdict || verdict === reason.dataset.proposed;
  }

  form.addEventListener("change", show);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey && event.key === "Enter") form.requestSubmit();
  });
  show();
})();
