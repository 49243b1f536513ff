/* What pages do beyond plain links and forms. Every page reads and sends without it. */
(function () {
  "use strict";
  var body = document.body;
  function all(selector, root) { return Array.prototype.slice.call((root || document).querySelectorAll(selector)); }
  function inField(target) { return target.closest && target.closest("input, textarea, select, [contenteditable]"); }

  /* --- htmx: polls are marked, and rest while the tab is hidden ----------------------------------------------- */
  document.addEventListener("htmx:configRequest", function (event) {
    if (!event.detail.triggeringEvent) event.detail.headers["X-Poll"] = "1";
  });
  document.addEventListener("htmx:beforeRequest", function (event) {
    var isPoll = !event.detail.requestConfig.triggeringEvent;
    if (isPoll && document.hidden) { event.preventDefault(); return; }
    event.detail.target.setAttribute("aria-busy", "true");
    if (!isPoll) body.classList.add("is-loading");
  });
  document.addEventListener("htmx:afterRequest", function (event) {
    body.classList.remove("is-loading");
    if (event.detail.target) event.detail.target.removeAttribute("aria-busy");
    if (!event.detail.requestConfig.triggeringEvent) return;
    if (event.detail.successful) stayed();
  });
  function say(text) { var line = document.getElementById("spoken"); if (line) line.textContent = text; }
  document.addEventListener("htmx:afterSwap", function (event) {
    /* A fragment speaks only a change of state, never every tick. */
    var holder = event.detail.target.closest("[data-says]") || event.detail.target.querySelector("[data-says]");
    if (!holder || holder.dataset.says === body.dataset.said) return;
    body.dataset.said = holder.dataset.says;
    say(holder.dataset.says);
  });

  /* --- forms --------------------------------------------------------------------------------------------------- */
  var first = document.querySelector("[data-focus-first]");
  if (first) first.focus();
  document.addEventListener("click", function (event) {
    var link = event.target.closest(".error-summary a");
    if (link) {
      var target = document.getElementById(link.hash.slice(1));
      var control = target && (target.matches("input, select, textarea") ? target : target.querySelector("input, select, textarea"));
      if (control) { event.preventDefault(); control.focus(); control.scrollIntoView({ block: "center" }); }
      return;
    }
    var opener = event.target.closest("[data-dialog]");
    if (opener) { event.preventDefault(); document.getElementById(opener.dataset.dialog).showModal(); return; }
    var closer = event.target.closest("[data-close]");
    if (closer) { closer.closest("dialog").close(); return; }
    if (event.target.closest("[data-print]")) { window.print(); return; }
    var copier = event.target.closest("[data-copy]");
    if (copier) {
      var source = document.getElementById(copier.dataset.copy);
      source.select();
      if (navigator.clipboard) navigator.clipboard.writeText(source.value).then(function () { copier.textContent = "Copied"; say("Copied"); });
      return;
    }
    var shower = event.target.closest("[data-show-password]");
    if (shower) {
      var field = document.getElementById(shower.dataset.showPassword), hide = field.type === "text";
      field.type = hide ? "password" : "text";
      shower.textContent = hide ? "Show" : "Hide";
      shower.setAttribute("aria-pressed", String(!hide));
      return;
    }
    all("details.drop[open]").forEach(function (drop) { if (!drop.contains(event.target)) drop.open = false; });
  });
  all("[data-needs-script]").forEach(function (element) { element.hidden = false; });
  document.addEventListener("submit", function (event) {
    var form = event.target;
    if (form.method === "get") {
      /* Empty filters stay out of the address. */
      all("input, select", form).forEach(function (control) { if (!control.value) control.disabled = true; });
      return;
    }
    if (form.dataset.sent) { event.preventDefault(); return; }
    var button = event.submitter || form.querySelector("[type=submit]");
    if (!button || event.defaultPrevented) return;
    form.dataset.sent = "1";
    if (button.dataset.busy) button.textContent = button.dataset.busy;
    button.setAttribute("aria-disabled", "true");
    window.setTimeout(function () { delete form.dataset.sent; button.removeAttribute("aria-disabled"); }, 8000);
  });
  document.addEventListener("change", function (event) {
    if (event.target.matches("[data-sends]")) event.target.form.requestSubmit();
  });
  window.addEventListener("pageshow", function () {
    all("form").forEach(function (form) {
      delete form.dataset.sent;
      if (form.method === "get") all("input, select", form).forEach(function (control) { control.disabled = false; });
    });
  });

  /* --- keys: on only where the account asked for them, never inside a field ------------------------------------- */
  var before = "";
  function rowLinks() { return all("[data-rows] tbody tr").map(function (row) { return row.querySelector("th a"); }).filter(Boolean); }
  function step(by) {
    var links = rowLinks(), at = links.indexOf(document.activeElement);
    if (links.length) links[Math.max(0, Math.min(links.length - 1, at < 0 && by < 0 ? links.length - 1 : at + by))].focus();
  }
  function go(selector) { var link = document.querySelector(selector); if (link) link.click(); }
  document.addEventListener("keydown", function (event) {
    if (event.key === "Escape") { all("details.drop[open]").forEach(function (drop) { drop.open = false; drop.querySelector("summary").focus(); }); return; }
    if (!("keys" in body.dataset) || event.ctrlKey || event.metaKey || event.altKey || inField(event.target) || document.querySelector("dialog[open]")) return;
    var key = before + event.key;
    before = "";
    var known = true;
    if (key === "?") document.getElementById("keys-dialog").showModal();
    else if (key === "/") { var box = document.querySelector("main [data-search-box]") || document.querySelector("[data-search-box]"); if (box.offsetParent) box.focus(); else location.href = box.form.action; }
    else if (key === "g") before = "g";
    else if (key === "gw") go("[data-key-work], .topbar-name");
    else if (key === "gs") go(".topbar-nav a[href$='/submissions/']");
    else if (key === "j") step(1);
    else if (key === "k") step(-1);
    else if (key === "[") go("a[rel=prev]");
    else if (key === "]") go("a[rel=next]");
    else {
      var pressed = document.querySelector("main [data-key='" + (window.CSS ? CSS.escape(event.key) : "") + "']");
      if (pressed) pressed.click(); else known = false;
    }
    if (known) event.preventDefault();
  });

  /* --- the sign-in ends after a while without a press; a dialog asks three minutes before ----------------------- */
  var idle = Number(body.dataset.idleS || 0), endsAt = 0;
  function stayed() { endsAt = Date.now() + idle * 1000; }
  if (idle) {
    stayed();
    var dialog = document.getElementById("idle-dialog");
    window.setInterval(function () {
      var left = endsAt - Date.now();
      if (left <= 0) { location.reload(); return; }
      if (left < 180000 && !dialog.open) {
        var end = new Date(endsAt);
        dialog.querySelector("[data-idle-at]").textContent = end.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
        dialog.showModal();
      }
    }, 5000);
    dialog.addEventListener("close", function () {
      fetch(body.dataset.stayUrl, { method: "POST", headers: { "X-CSRFToken": JSON.parse(body.getAttribute("hx-headers"))["X-CSRFToken"] } })
        .then(function (answer) { if (answer.status === 204) stayed(); else location.reload(); });
    });
    dialog.querySelector("[data-idle-stay]").addEventListener("click", function () { dialog.close(); });
  }
})();
