// Sends a folder, files or a zip with tus 1.0: small files in one request each, large ones in pieces, three at a time.
// What arrived stays on the server: a file that is chosen again is found there and only the rest is sent.
(() => {
  "use strict";

  const root = document.getElementById("uploader");
  if (!root) return;

  const AT_ONCE = 3;
  const TRIES_PER_FILE = 8;
  const LONGEST_WAIT_S = 30;
  const RATE_WINDOW_MS = 20000;
  const ANNOUNCE_MS = 2000;
  const createUrl = root.dataset.createUrl;
  const submission = root.dataset.submission;
  const chunkBytes = Number(root.dataset.chunkBytes);
  const part = (name) => root.querySelector(`[data-part="${name}"]`);

  // With files on the server the chance is good that a chosen one is there: ask before sending its bytes.
  let asksFirst = root.dataset.hasFiles === "true";
  let isPaused = false;
  let failures = 0;
  let waitUntil = 0;
  let waitTimer = null;
  let running = 0;
  const transfers = new Map();
  const waiting = [];
  const arrivals = [];
  const controllers = new Set();

  // --- words -------------------------------------------------------------------------------------------------

  const numbers = new Intl.NumberFormat(document.documentElement.lang || "en-GB");

  function megabytes(bytes) {
    const value = bytes / 1e6;
    return `${numbers.format(value < 10 ? Math.round(value * 10) / 10 : Math.round(value))}\u202fMB`;
  }

  function timeLeft(seconds) {
    if (seconds < 90) return `about ${Math.max(5, Math.ceil(seconds / 5) * 5)} s left`;
    if (seconds < 5400) return `about ${Math.round(seconds / 60)} min left`;
    return `about ${Math.round(seconds / 3600)} h left`;
  }

  function say(text) {
    if (part("status").textContent !== text) part("status").textContent = text;
  }

  // --- choosing ----------------------------------------------------------------------------------------------

  function add(file, path) {
    const key = `${path}\n${file.size}`;
    if (transfers.has(key)) return;
    const transfer = { file, path, size: file.size, sent: 0, url: null, tries: 0, state: "waiting", why: "" };
    transfers.set(key, transfer);
    waiting.push(transfer);
  }

  async function addEntry(entry, prefix) {
    if (entry.isFile) {
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
      add(file, prefix + entry.name);
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      // A folder's reader gives at most a hundred names at a time; an empty list says that it is done.
      const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!entries.length) return;
      for (const inner of entries) await addEntry(inner, `${prefix}${entry.name}/`);
    }
  }

  function addList(files) {
    for (const file of files) add(file, file.webkitRelativePath || file.name);
    begin();
  }

  async function addDropped(dropped) {
    // Both lists are empty once the event is over, so they are read before anything is waited for.
    const entries = Array.from(dropped.items, (item) => item.webkitGetAsEntry()).filter(Boolean);
    const files = Array.from(dropped.files);
    if (!entries.length) {
      addList(files);
      return;
    }
    for (const entry of entries) await addEntry(entry, "");
    begin();
  }

  function begin() {
    if (!waiting.length) {
      say("Everything you chose is here already.");
      return;
    }
    isPaused = false;
    say(`Sending ${numbers.format(transfers.size)} ${transfers.size === 1 ? "file" : "files"}.`);
    pump();
  }

  // --- sending -----------------------------------------------------------------------------------------------

  class Refused extends Error {}
  class SignedOut extends Error {}

  function base64(text) {
    let binary = "";
    for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte);
    return btoa(binary);
  }

  // Signing in again in another tab changes the token, so the cookie is read anew for every request.
  function csrfToken() {
    const cookie = document.cookie.split("; ").find((pair) => pair.startsWith("csrftoken="));
    return cookie ? cookie.slice("csrftoken=".length) : root.querySelector("[name=csrfmiddlewaretoken]").value;
  }

  async function request(method, url, headers, body) {
    const controller = new AbortController();
    controllers.add(controller);
    try {
      const response = await fetch(url, {
        method,
        body,
        headers: { "Tus-Resumable": "1.0.0", "X-CSRFToken": csrfToken(), ...headers },
        credentials: "same-origin",
        redirect: "manual",
        signal: controller.signal,
      });
      if (response.type === "opaqueredirect" || [401, 403].includes(response.status)) throw new SignedOut();
      if (response.status >= 400 && response.status < 500 && ![404, 409, 410, 423, 429].includes(response.status)) {
        throw new Refused((await response.text()).trim() || "The core lab's server did not take this file.");
      }
      return response;
    } finally {
      controllers.delete(controller);
    }
  }

  async function create(transfer) {
    const metadata = [
      `submission ${base64(submission)}`,
      `filename ${base64(transfer.path)}`,
      `modified ${base64(String(transfer.file.lastModified))}`,
    ];
    const headers = { "Upload-Length": String(transfer.size), "Upload-Metadata": metadata.join(",") };
    let body;
    if (!asksFirst && transfer.size <= chunkBytes) {
      headers["Content-Type"] = "application/offset+octet-stream";
      body = transfer.file;
    }
    const response = await request("POST", createUrl, headers, body);
    if (response.status !== 201 && response.status !== 200) throw new Error(`create answered ${response.status}`);
    transfer.url = response.headers.get("Location");
    transfer.sent = Number(response.headers.get("Upload-Offset") || 0);
  }

  async function askOffset(transfer) {
    const response = await request("HEAD", transfer.url, {});
    if (response.status === 404 || response.status === 410) {
      transfer.url = null;
      transfer.sent = 0;
    } else if (response.ok) {
      transfer.sent = Number(response.headers.get("Upload-Offset") || 0);
    } else {
      throw new Error(`head answered ${response.status}`);
    }
  }

  async function send(transfer) {
    if (!transfer.url) await create(transfer);
    else if (transfer.tries) await askOffset(transfer);
    if (!transfer.url) await create(transfer);
    while (transfer.sent < transfer.size) {
      const piece = transfer.file.slice(transfer.sent, transfer.sent + chunkBytes);
      const response = await request(
        "PATCH",
        transfer.url,
        { "Upload-Offset": String(transfer.sent), "Content-Type": "application/offset+octet-stream" },
        piece,
      );
      if (response.status === 409) {
        await askOffset(transfer);
        if (!transfer.url) await create(transfer);
        continue;
      }
      if (!response.ok) throw new Error(`patch answered ${response.status}`);
      transfer.sent = Number(response.headers.get("Upload-Offset"));
      arrived(piece.size);
    }
  }

  function pump() {
    while (!isPaused && running < AT_ONCE && waiting.length && Date.now() >= waitUntil) {
      const transfer = waiting.shift();
      running += 1;
      transfer.state = "sending";
      const before = transfer.sent;
      send(transfer)
        .then(() => {
          transfer.state = "done";
          failures = 0;
          if (transfer.sent - before <= chunkBytes) arrived(transfer.size - before);
          announce();
        })
        .catch((error) => failed(transfer, error))
        .finally(() => {
          running -= 1;
          pump();
        });
    }
    draw();
    if (!running && !waiting.length) finished();
  }

  function failed(transfer, error) {
    if (error instanceof Refused) {
      transfer.state = "refused";
      transfer.why = error.message;
      return;
    }
    transfer.state = "waiting";
    waiting.unshift(transfer);
    if (error instanceof SignedOut) {
      isPaused = true;
      say("You are signed out. Sign in again in another tab, then press Go on; what arrived is kept.");
      return;
    }
    if (error.name === "AbortError") return;
    transfer.tries += 1;
    if (transfer.tries >= TRIES_PER_FILE) {
      isPaused = true;
      transfer.tries = 0;
      say("We tried many times and the connection does not hold. What arrived is kept. Press Go on to try again.");
      return;
    }
    // What was under way at once drops at once: that is one failure of the line, not three.
    if (Date.now() < waitUntil) return;
    failures += 1;
    const seconds = Math.min(LONGEST_WAIT_S, 2 ** Math.min(failures, 5)) * (0.75 + Math.random() / 2);
    waitUntil = Date.now() + seconds * 1000;
    clearTimeout(waitTimer);
    waitTimer = setTimeout(pump, seconds * 1000 + 50);
    say(
      `The connection dropped at ${percent()}\u202f%. We keep what arrived and try again in ${Math.ceil(seconds)} s.`,
    );
  }

  function tryNow() {
    isPaused = false;
    waitUntil = 0;
    clearTimeout(waitTimer);
    say("Sending.");
    pump();
  }

  function pause() {
    isPaused = true;
    for (const controller of controllers) controller.abort();
    say("Paused. What arrived is kept.");
    draw();
  }

  // --- showing -----------------------------------------------------------------------------------------------

  function arrived(bytes) {
    arrivals.push([Date.now(), bytes]);
  }

  function totals() {
    const all = Array.from(transfers.values());
    const sum = (values) => values.reduce((total, value) => total + value, 0);
    return {
      files: all.length,
      done: all.filter((transfer) => transfer.state === "done").length,
      refused: all.filter((transfer) => transfer.state === "refused"),
      bytes: sum(all.map((transfer) => transfer.size)),
      sent: sum(all.map((transfer) => (transfer.state === "done" ? transfer.size : transfer.sent))),
    };
  }

  function percent() {
    const now = totals();
    return now.bytes ? Math.floor((now.sent / now.bytes) * 100) : 100;
  }

  function secondsLeft(now) {
    const since = Date.now() - RATE_WINDOW_MS;
    while (arrivals.length && arrivals[0][0] < since) arrivals.shift();
    if (arrivals.length < 3) return null;
    const elapsed = (Date.now() - arrivals[0][0]) / 1000;
    const bytes = arrivals.reduce((total, [, count]) => total + count, 0);
    return elapsed > 0.5 && bytes ? (now.bytes - now.sent) / (bytes / elapsed) : null;
  }

  function draw() {
    const now = totals();
    if (!now.files) return;
    part("progress").hidden = false;
    part("bar").max = now.bytes || 1;
    part("bar").value = now.bytes ? now.sent : 1;
    const words = [
      `${numbers.format(now.done)} of ${numbers.format(now.files)} files`,
      `${megabytes(now.sent)} of ${megabytes(now.bytes)}`,
    ];
    const isHeld = isPaused || Date.now() < waitUntil;
    const left = isHeld ? null : secondsLeft(now);
    if (left !== null && now.sent < now.bytes) words.push(timeLeft(left));
    part("counts").textContent = words.join(" · ");
    const isOver = now.done + now.refused.length === now.files;
    part("pause").hidden = isHeld || isOver;
    part("resume").hidden = isOver || !isHeld;
    part("resume").textContent = isPaused ? "Go on" : "Try now";
    const list = part("refused");
    list.hidden = !now.refused.length;
    const reasons = new Map();
    for (const transfer of now.refused) reasons.set(transfer.why, (reasons.get(transfer.why) || 0) + 1);
    list.replaceChildren(
      ...Array.from(reasons, ([why, count]) => {
        const item = document.createElement("li");
        item.textContent = count > 1 ? `${numbers.format(count)} files: ${why}` : why;
        return item;
      }),
    );
  }

  let lastAnnounced = 0;
  let announceTimer = null;

  // The table of series is the server's: ask for it anew, but not after every file.
  function announce() {
    const wait = lastAnnounced + ANNOUNCE_MS - Date.now();
    clearTimeout(announceTimer);
    if (wait > 0) {
      announceTimer = setTimeout(announce, wait);
      return;
    }
    lastAnnounced = Date.now();
    document.body.dispatchEvent(new CustomEvent("files-changed"));
  }

  function finished() {
    const now = totals();
    asksFirst = true;
    const files = `${numbers.format(now.done)} ${now.done === 1 ? "file" : "files"}`;
    say(
      now.refused.length
        ? `${files} arrived, ${numbers.format(now.refused.length)} did not: the reasons are below.`
        : now.done === 1
          ? "The file arrived."
          : `All ${files} arrived.`,
    );
  }

  // --- hands -------------------------------------------------------------------------------------------------

  const pickFiles = part("pick-files");
  const pickFolder = part("pick-folder");
  part("choose-files").addEventListener("click", () => pickFiles.click());
  part("choose-folder").addEventListener("click", () => pickFolder.click());
  part("pause").addEventListener("click", pause);
  part("resume").addEventListener("click", tryNow);
  for (const input of [pickFiles, pickFolder]) {
    input.addEventListener("change", () => {
      addList(input.files);
      input.value = "";
    });
  }

  const dropZone = part("drop");
  for (const name of ["dragenter", "dragover"]) {
    dropZone.addEventListener(name, (event) => {
      event.preventDefault();
      dropZone.classList.add("is-over");
    });
  }
  dropZone.addEventListener("dragleave", () => dropZone.classList.remove("is-over"));
  dropZone.addEventListener("drop", (event) => {
    event.preventDefault();
    dropZone.classList.remove("is-over");
    addDropped(event.dataTransfer);
  });

  window.addEventListener("online", () => {
    if (!isPaused && waiting.length) tryNow();
  });
  window.addEventListener("beforeunload", (event) => {
    if (running || (waiting.length && !isPaused)) event.preventDefault();
  });
  setInterval(() => {
    if (running || waiting.length) draw();
  }, 1000);

  root.classList.add("has-script");
})();
