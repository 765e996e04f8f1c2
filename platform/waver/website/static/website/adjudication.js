// One disputed stretch: play just it with a little before and after, decide by keyboard.
"use strict";

function begin() {
  const root = document.getElementById("adjudication");
  const form = document.getElementById("decision");
  const video = document.getElementById("video");
  const from = Number(root.dataset.fromUs) / 1e6;
  const until = Number(root.dataset.untilUs) / 1e6;
  const frame = Number(root.dataset.rateDenominator) / Number(root.dataset.rateNumerator);
  const clock = (s) => `${Math.floor(s / 60)}:${(s % 60).toFixed(3).padStart(6, "0")}`;

  const show = () => {
    const now = video.currentTime;
    document.getElementById("where").textContent = clock(now);
    const head = document.getElementById("playhead");
    if (head) {
      head.classList.remove("hidden");
      const line = document.querySelector(".lane-line");
      const share = Math.min(1, Math.max(0, (now - from) / (until - from)));
      head.style.left = `${line.offsetLeft + share * line.offsetWidth}px`;
    }
    if (!video.paused && now >= until) { video.pause(); video.currentTime = from; }
    root.dataset.at = now.toFixed(3);
  };
  // The middle of a frame, where rounding cannot reach its neighbours.
  const seek = (s) => { video.currentTime = (Math.floor(Math.min(Math.max(s, from), until - frame / 2) / frame + 1e-6) + 0.5) * frame; };
  const play = () => {
    if (video.currentTime < from || video.currentTime >= until) video.currentTime = from;
    video.play();
  };
  const bound = (name) => {
    const field = document.getElementById(name);
    if (!field) return;
    const low = Number(root.dataset.startUs), high = Number(root.dataset.endUs);
    // The frame's own beginning, kept within the stretch that is in dispute.
    const us = Math.round(Math.floor(video.currentTime / frame + 1e-6) * frame * 1e6);
    field.value = String(Math.min(Math.max(us, low), high) / 1e6);
  };
  const does = {
    toggle: () => { if (video.paused) play(); else video.pause(); },
    again: () => { video.currentTime = from; video.play(); },
    "previous-frame": () => { video.pause(); seek(video.currentTime - frame); },
    "next-frame": () => { video.pause(); seek(video.currentTime + frame); },
    start: () => bound("start"),
    end: () => bound("end"),
  };
  const keys = { " ": "toggle", r: "again", ArrowLeft: "previous-frame", ArrowRight: "next-frame", "[": "start", "]": "end" };

  if (video) {
    const arrive = () => { video.currentTime = from; root.dataset.ready = "yes"; };
    if (video.readyState >= 1) arrive(); else video.addEventListener("loadedmetadata", arrive, { once: true });
    for (const event of ["timeupdate", "seeked"]) video.addEventListener(event, show);
    for (const event of ["play", "pause"]) video.addEventListener(event, () => {
      document.querySelector("[data-do=toggle]").textContent = video.paused ? "Play" : "Pause";
      if (!video.paused) requestAnimationFrame(function follow() { show(); if (!video.paused) requestAnimationFrame(follow); });
    });
    video.addEventListener("error", async () => {
      const answer = await fetch(video.src, { headers: { Accept: "application/json", Range: "bytes=0-0" } });
      const told = answer.ok ? {} : await answer.json().catch(() => ({}));
      document.getElementById("player-problem").textContent = told.problem ?? "This browser could not play the video. Reload the page, or try Chromium or Firefox.";
    });
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]");
    if (button && video) does[button.dataset.do]();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); form.requestSubmit(); return; }
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target.closest("textarea, input[type=text], select, summary")) return;
    const choice = form.querySelector(`input[data-key="${CSS.escape(event.key)}"]`);
    if (choice) {
      event.preventDefault();
      choice.checked = true;
      document.getElementById("rationale").focus();
      return;
    }
    const skip = document.getElementById("skip");
    if (event.key === "n" && skip) { skip.click(); return; }
    const what = keys[event.key];
    if (!what || !video || (event.key === " " && event.target.closest("button, a"))) return;
    event.preventDefault();
    does[what]();
  });
}

begin();
