// Shows only what belongs to the chosen kind, scanner and unit. Without it every field stands there and still works.
(() => {
  "use strict";

  const form = document.querySelector("[data-sheet-form]");
  if (!form) return;

  const chosen = (name) => {
    const field = form.elements[name];
    return field ? field.value : "";
  };

  function showKind() {
    for (const block of form.querySelectorAll("[data-kinds]")) {
      block.hidden = !block.dataset.kinds.split(" ").includes(chosen("kind"));
    }
  }

  function showReconstructions() {
    const select = form.elements.reconstruction;
    if (!select) return;
    for (const option of select.options) {
      const belongs = !option.dataset.scanner || option.dataset.scanner === chosen("scanner");
      option.hidden = option.disabled = !belongs;
      if (option.selected && !belongs) select.value = "";
    }
  }

  function showUnit() {
    for (const sign of form.querySelectorAll("[data-unit-sign]")) sign.textContent = chosen("unit") || "MBq";
  }

  function show() {
    if (form.elements.kind) showKind();
    showReconstructions();
    showUnit();
  }

  form.addEventListener("change", show);
  show();
})();
