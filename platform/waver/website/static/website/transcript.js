// The transcript beside the video: the segment that is heard is marked, and the form that corrects
// it has keys. Everything here is convenience: the page's plain forms do the same without it.
"use strict";

/** The timeline's row of what is said: each segment as a box with its first words. */
Timeline.prototype.said = function (segments, top, height) {
  for (const segment of segments) {
    const x0 = this.x(segment.start_us);
    const width = Math.max(2, this.x(segment.end_us) - x0);
    if (x0 > this.width || x0 + width < 0) continue;
    this.pen.fillStyle = this.ink.sunken;
    this.pen.fillRect(x0, top + 4, width, height - 9);
    this.pen.strokeStyle = this.ink["line-strong"];
    this.pen.lineWidth = 1;
    this.pen.strokeRect(x0 + 0.5, top + 4.5, Math.max(1, width - 1), height - 10);
    const seen = Math.max(x0, 0);
    if (x0 + width - seen > 24) {
      this.pen.save();
      this.pen.beginPath();
      this.pen.rect(seen, top, x0 + width - seen - 3, height);
      this.pen.clip();
      this.pen.fillStyle = this.ink.ink;
      this.pen.fillText(segment.text, seen + 4, top + height / 2 - 0.5);
      this.pen.restore();
    }
    const who = segment.speaker ? `${segment.speaker}: ` : "";
    this.hit(segment, top, height, `${who}“${segment.text}”, ${lengthOf(segment)}`);
  }
};

/** Read a time as people type it, as waver.recordings.transcripts.correcting does; null if none. */
function typedUs(text) {
  const found = /^\s*(?:(?:(\d{1,3}):)?(\d{1,5}):)?(\d{1,6})(?:[.,](\d{1,6}))?\s*$/.exec(text);
  if (!found) return null;
  const [, hours, minutes, seconds, part] = found;
  return ((Number(hours ?? 0) * 60 + Number(minutes ?? 0)) * 60 + Number(seconds)) * 1e6 + Number((part ?? "0").padEnd(6, "0"));
}

class TranscriptPanel {
  constructor(video) {
    this.video = video;
    this.until = null;
    this.changed = false;
    this.dress();
    if (!video) return;
    const { rateNumerator, rateDenominator } = document.getElementById("recording").dataset;
    this.halfFrame = Math.floor(5e5 * Number(rateDenominator) / Number(rateNumerator)) || 0;
    const look = () => this.follow();
    for (const event of ["timeupdate", "seeked"]) video.addEventListener(event, look);
    if ("requestVideoFrameCallback" in video) {
      const presented = () => { look(); video.requestVideoFrameCallback(presented); };
      video.requestVideoFrameCallback(presented);
    }
  }

  get root() { return document.getElementById("transcript"); }
  get form() { return document.getElementById("transcript-form"); }
  get nowUs() { return Math.round(this.video.currentTime * 1e6); }

  /** Show what only works with this script. */
  dress() {
    for (const part of this.root?.querySelectorAll(".with-script") ?? []) part.hidden = !this.video;
  }

  rows() {
    if (this.form) {
      return [...this.form.querySelectorAll("[data-row]")].map((element) => ({
        element, start: typedUs(element.querySelector("[name=start]").value), end: typedUs(element.querySelector("[name=end]").value),
      }));
    }
    return [...(this.root?.querySelectorAll("li[data-start-us]") ?? [])].map((element) => ({
      element, start: Number(element.dataset.startUs), end: Number(element.dataset.endUs),
    }));
  }

  /** Mark the segments at the playhead; keep the first of them in sight while the video plays. */
  follow() {
    // The end of the frame that is shown: a segment that begins within that frame is on.
    const now = this.nowUs + this.halfFrame;
    if (this.until !== null && now >= this.until) { this.until = null; this.video.pause(); }
    let first = null;
    for (const { element, start, end } of this.rows()) {
      const here = start !== null && end !== null && start <= now && now < end;
      element.classList.toggle("heard", here);
      if (here) { element.setAttribute("aria-current", "true"); first ??= element; }
      else element.removeAttribute("aria-current");
    }
    if (!first || this.video.paused || this.root.contains(document.activeElement)) return;
    const list = first.parentElement;
    const [box, all] = [first.getBoundingClientRect(), list.getBoundingClientRect()];
    if (box.top < all.top || box.bottom > all.bottom) list.scrollTop += box.top - all.top - all.height / 3;
  }

  play(row) {
    const [from, until] = [typedUs(row.querySelector("[name=start]").value), typedUs(row.querySelector("[name=end]").value)];
    if (from === null || !this.video) return;
    this.video.currentTime = from / 1e6;
    this.until = until;
    this.video.play();
  }

  /** Have the server change the rows, and put its answer in the place of the form. */
  async change(button, caret = "") {
    const body = new FormData(this.form);
    body.set("do", button);
    body.set("caret", caret);
    body.set("at_us", this.video ? String(this.nowUs) : "");
    const scrolled = this.form.querySelector(".said-rows").scrollTop;
    const answer = await fetch(this.form.action, { method: "POST", body, headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("transcript");
    if (!fresh) { this.form.submit(); return; }
    this.root.replaceWith(document.adoptNode(fresh));
    this.changed = true;
    this.dress();
    const list = this.root.querySelector(".said-rows");
    if (list) list.scrollTop = scrolled;
    const [what, at] = button.split(" ");
    const next = Number(at) + (what === "split" || what === "add" ? 1 : 0);
    const rows = this.root.querySelectorAll("[data-row]");
    rows[Math.min(next, rows.length - 1)]?.querySelector("textarea").focus();
    if (this.video) this.follow();
  }

  /** Alt and a key, in a row of the form. Gives whether it meant something. */
  key(event, row) {
    const set = (name) => { row.querySelector(`[name=${name}]`).value = clockOf(this.nowUs); this.changed = true; this.follow(); };
    const go = (other) => {
      const text = other?.querySelector("textarea");
      if (!text) return;
      text.focus();
      const from = typedUs(other.querySelector("[name=start]").value);
      if (from !== null && this.video) this.video.currentTime = from / 1e6;
    };
    const does = {
      Enter: () => { if (event.target.matches("textarea")) this.change(`split ${row.dataset.row}`, event.target.selectionStart); },
      p: () => { this.until = null; if (this.video.paused) this.video.play(); else this.video.pause(); },
      "[": () => set("start"),
      "]": () => set("end"),
      ArrowUp: () => go(row.previousElementSibling),
      ArrowDown: () => go(row.nextElementSibling),
    }[event.key];
    if (!does || !this.video) return false;
    does();
    return true;
  }
}

{
  const panel = new TranscriptPanel(document.getElementById("video"));
  document.addEventListener("click", (event) => {
    const play = event.target.closest("[data-play-row]");
    if (play) panel.play(play.closest("[data-row]"));
  });
  document.addEventListener("submit", (event) => {
    if (event.target.id !== "transcript-form") return;
    const button = event.submitter?.value ?? "save";
    if (button === "save") { panel.changed = false; return; }
    event.preventDefault();
    const row = event.submitter.closest("[data-row]");
    const text = row?.querySelector("textarea");
    // A cursor that nobody put anywhere stands at an end, where a split means nothing.
    panel.change(button, button.startsWith("split") ? text.selectionStart : "");
  });
  document.addEventListener("input", (event) => { if (event.target.closest("#transcript-form")) panel.changed = true; });
  document.addEventListener("keydown", (event) => {
    const row = event.target.closest?.("#transcript-form [data-row]");
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.closest?.("#transcript-form")) {
      event.preventDefault();
      panel.form.requestSubmit(panel.form.querySelector("[value=save]"));
    } else if (row && event.altKey && panel.key(event, row)) {
      event.preventDefault();
    }
  });
  window.addEventListener("beforeunload", (event) => { if (panel.changed) event.preventDefault(); });
}
