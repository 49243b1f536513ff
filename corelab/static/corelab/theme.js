/* Sets the theme before the first paint: the choice of the account, or for "auto" what the device asks for. */
(function () {
  var root = document.documentElement, choice = root.dataset.theme;
  if (choice === "auto") root.dataset.bsTheme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
})();
