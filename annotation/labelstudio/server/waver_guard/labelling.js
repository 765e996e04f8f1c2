// Says to a rater why something was refused while they label, and leads on to the next clip.
//
// The guard adds this to the labelling page, whose own interface shows no reason when a recording
// is refused. Everything shown is the guard's or Waver's own sentence, put in as text.
"use strict";

(() => {
  const WATCHED = [
    ["GET", /^\/waver\/media\//],
    ["GET", /^\/api\/projects\/\d+\/next/],
    ["POST", /^\/api\/(tasks\/\d+\/(annotations|drafts)|dm\/actions)/],
    ["PATCH", /^\/api\/(annotations|drafts)\//],
  ];

  function show(sentence) {
    let note = document.getElementById("waver-note");
    if (!note) {
      note = document.createElement("div");
      note.id = "waver-note";
      note.setAttribute("role", "alert");
      note.style.cssText =
        "position:fixed;z-index:100000;inset:auto 0 0 0;padding:14px 20px;display:flex;gap:16px;" +
        "align-items:center;justify-content:center;background:#fff7d6;color:#1f1f1f;" +
        "border-top:1px solid #c9a400;font:16px/1.4 system-ui,sans-serif";
      const text = document.createElement("span");
      // No link: the labelling page takes those for changes of its own address and loads nothing.
      const next = document.createElement("button");
      const project = /^\/projects\/(\d+)/.exec(location.pathname);
      next.addEventListener("click", () => {
        location.assign(project ? `/projects/${project[1]}/data?labeling=1` : "/");
      });
      next.textContent = "Go on with the next clip";
      next.style.cssText =
        "all:revert;font:inherit;font-weight:600;white-space:nowrap;padding:6px 14px;cursor:pointer";
      note.append(text, next);
      document.body.append(note);
    }
    note.firstChild.textContent = sentence;
  }

  async function look(answer) {
    try {
      const said = await answer.clone().json();
      if (said.detail) show(String(said.detail));
    } catch {
      // No sentence in it: the labelling page's own message stands.
    }
  }

  const ask = window.fetch;
  window.fetch = async (...words) => {
    const answer = await ask(...words);
    if ([403, 409, 503].includes(answer.status)) {
      const request = words[0] instanceof Request ? words[0] : new Request(...words);
      const path = new URL(request.url).pathname;
      if (WATCHED.some(([verb, form]) => verb === request.method && form.test(path))) look(answer);
    }
    return answer;
  };

  // A player says only that it failed; the same address says why.
  document.addEventListener("error", async (event) => {
    const source = event.target.currentSrc || event.target.src || "";
    if (!source.startsWith(`${location.origin}/waver/media/`)) return;
    const answer = await ask(source, { headers: { Range: "bytes=0-0" } });
    if (!answer.ok) look(answer);
  }, true);
})();
