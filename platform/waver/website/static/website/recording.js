// The player: exact stepping. The frame that is shown is the frame that is named.
//
// Frame n begins at round-half-up(n * 10^6 * den / num) microseconds, the same function as
// waver.core.clock. To show it, the player seeks half a frame past that, where rounding cannot
// reach a neighbour; what is then written below the video is the frame that the browser really
// presented (requestVideoFrameCallback), not the one that was asked for.
"use strict";

class Player {
  constructor(root, video, timeline) {
    this.video = video;
    this.timeline = timeline;
    this.num = Number(root.dataset.rateNumerator);
    this.den = Number(root.dataset.rateDenominator);
    this.count = Number(root.dataset.frameCount);
    this.root = root;
    this.frame = 0;
    this.wanted = null;
    this.reverse = null;
    this.where = document.getElementById("where");
    this.problem = document.getElementById("player-problem");
    video.addEventListener("seeked", () => this.arrived());
    video.addEventListener("error", () => this.explain());
    video.addEventListener("playing", () => { this.wanted = null; });
    for (const event of ["play", "pause", "volumechange"]) video.addEventListener(event, () => this.buttons());
    if ("requestVideoFrameCallback" in video) {
      const presented = (_, { mediaTime }) => {
        this.show(Math.round(mediaTime * this.num / this.den));
        video.requestVideoFrameCallback(presented);
      };
      video.requestVideoFrameCallback(presented);
    } else {
      video.addEventListener("timeupdate", () => this.show(this.frameAt(video.currentTime * 1e6)));
    }
  }

  frameUs(n) { return Math.floor((2 * n * 1e6 * this.den + this.num) / (2 * this.num)); }

  frameAt(us) {
    let n = Math.floor(us * this.num / (1e6 * this.den));
    while (this.frameUs(n + 1) <= us) n++;
    while (n > 0 && this.frameUs(n) > us) n--;
    return Math.min(Math.max(n, 0), this.count - 1);
  }

  /** Show one frame. Calls that come while the video is still seeking are answered by the last. */
  goTo(n) {
    this.stop();
    this.seek(n);
  }

  seek(n) {
    this.wanted = Math.min(Math.max(Math.round(n), 0), this.count - 1);
    if (!this.video.seeking) this.jump();
  }

  jump() {
    this.sought = this.wanted;
    this.video.currentTime = (this.wanted + 0.5) * this.den / this.num;
  }

  arrived() {
    if (this.wanted !== null && this.wanted !== this.sought) this.jump();
  }

  /** The frame to step from: the one sought until it is presented, then the one shown. */
  get here() { return this.wanted ?? this.frame; }

  show(frame) {
    this.frame = Math.min(Math.max(frame, 0), this.count - 1);
    if (this.frame === this.wanted) this.wanted = null;
    const us = this.frameUs(this.frame);
    this.root.dataset.frame = this.frame;
    this.where.textContent = `frame ${this.frame} · ${clockOf(us)}`;
    this.timeline.moveTo(us);
    const playing = !this.video.paused;
    this.root.dispatchEvent(new CustomEvent("playhead", { detail: { us, playing, speed: this.video.playbackRate } }));
    const loop = this.timeline.loop;
    if (loop && !this.video.paused && (us >= loop[1] || us < loop[0])) this.seek(this.frameAt(loop[0]));
  }

  stop() {
    clearInterval(this.reverse);
    this.reverse = null;
    if (!this.video.paused) this.video.pause();
  }

  toggle() { if (this.video.paused && this.reverse === null) this.forward(1); else this.stop(); }

  forward(speed) {
    clearInterval(this.reverse);
    this.reverse = null;
    this.video.playbackRate = speed;
    if (this.here >= this.count - 1) this.seek(0);
    this.video.play();
  }

  /** J: browsers cannot play backwards, so step back through the frames at speed 1, 2 or 4. */
  backward() {
    const speed = this.reverse === null ? 1 : Math.min(4, this.backSpeed * 2);
    this.stop();
    this.backSpeed = speed;
    const step = Math.max(1, Math.round(speed * this.num / this.den / 10));
    this.reverse = setInterval(() => {
      if (this.video.seeking) return;
      if (this.here <= 0) this.stop(); else this.seek(this.here - step);
    }, 100);
  }

  faster() { this.forward(this.video.paused ? 1 : Math.min(4, this.video.playbackRate * 2)); }

  /** [ and ]: the neighbouring stretch that a rater marked or a rule proposed. */
  neighbour(direction) {
    const now = this.frameUs(this.here);
    const starts = [...new Set(this.timeline.stretches().map((s) => this.frameAt(s.start_us)))];
    const frame = direction > 0
      ? starts.find((n) => this.frameUs(n) > now)
      : starts.findLast((n) => this.frameUs(n) < now);
    if (frame !== undefined) this.goTo(frame);
  }

  loopHere() {
    const now = this.frameUs(this.here);
    const inside = this.timeline.stretches()
      .filter((s) => this.frameUs(this.frameAt(s.start_us)) <= now && now < s.end_us);
    const shortest = inside.sort((a, b) => (a.end_us - a.start_us) - (b.end_us - b.start_us))[0];
    this.timeline.loop = this.timeline.loop || !shortest ? null : [shortest.start_us, shortest.end_us];
    this.buttons();
    this.timeline.draw();
  }

  buttons() {
    document.querySelector("[data-do=toggle]").textContent = this.video.paused ? "Play" : "Pause";
    document.querySelector("[data-do=mute]").setAttribute("aria-pressed", this.video.muted);
    document.querySelector("[data-do=mute]").textContent = this.video.muted ? "Sound on" : "Mute";
    document.querySelector("[data-do=loop]").setAttribute("aria-pressed", Boolean(this.timeline.loop));
    document.querySelector("[data-do=loop]").textContent = this.timeline.loop ? "End loop" : "Loop";
  }

  /** A video element says little about its errors; the address itself answers with a sentence. */
  async explain() {
    const answer = await fetch(this.video.src, { headers: { Accept: "application/json", Range: "bytes=0-0" } });
    const told = answer.ok ? {} : await answer.json().catch(() => ({}));
    this.problem.textContent = told.problem ?? "This browser could not play the video. Reload the page, or try Chromium or Firefox.";
  }
}

const DOES = {
  toggle: (player) => player.toggle(),
  "previous-frame": (player) => player.goTo(player.here - 1),
  "next-frame": (player) => player.goTo(player.here + 1),
  "second-back": (player) => player.goTo(player.frameAt(Math.max(0, player.frameUs(player.here) - 1e6))),
  "second-on": (player) => player.goTo(player.frameAt(player.frameUs(player.here) + 1e6)),
  "previous-segment": (player) => player.neighbour(-1),
  "next-segment": (player) => player.neighbour(1),
  loop: (player) => player.loopHere(),
  mute: (player) => { player.video.muted = !player.video.muted; },
  stop: (player) => player.stop(),
  back: (player) => player.backward(),
  on: (player) => player.faster(),
  "zoom-in": (player) => player.timeline.zoom(2),
  "zoom-out": (player) => player.timeline.zoom(0.5),
  "zoom-all": (player) => player.timeline.zoom(1e-9),
};
const KEYS = {
  " ": "toggle", k: "stop", j: "back", l: "on", L: "loop", ArrowLeft: "previous-frame", ArrowRight: "next-frame",
  "shift ArrowLeft": "second-back", "shift ArrowRight": "second-on", "[": "previous-segment", "]": "next-segment",
  "+": "zoom-in", "=": "zoom-in", "-": "zoom-out",
};

function keyOf(event) {
  return event.shiftKey && event.key.startsWith("Arrow") ? `shift ${event.key}` : event.key;
}

async function begin() {
  const root = document.getElementById("recording");
  const video = document.getElementById("video");
  if (!video) return;
  const canvas = document.getElementById("timeline");
  let player = null;
  const timeline = new Timeline(canvas, document.getElementById("timeline-names"), {
    durationUs: Number(root.dataset.durationUs),
    faceUrl: (frame) => root.dataset.faceUrl.replace("/0.jpg", `/${frame}.jpg`),
    frameAt: (us) => player.frameAt(us),
    frameUs: (frame) => player.frameUs(frame),
  });
  player = new Player(root, video, timeline);
  player.show(0);

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target.closest("input, select, textarea, summary, a")) return;
    const what = KEYS[keyOf(event)];
    if (!what) return;
    event.preventDefault();
    DOES[what](player);
  });
  // Space on a button must play, not press the button again.
  document.addEventListener("keyup", (event) => { if (event.key === " " && event.target.closest("button")) event.preventDefault(); });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]");
    if (button) DOES[button.dataset.do](player);
    const time = event.target.closest("[data-seek-us]");
    if (time) player.goTo(player.frameAt(Number(time.dataset.seekUs)));
  });
  pointing(canvas, player);

  const answer = await fetch(root.dataset.timelineUrl, { headers: { Accept: "application/json" } });
  const data = await answer.json();
  if (answer.ok) timeline.show(data);
  else document.getElementById("under-pointer").textContent = data.problem;
  root.dataset.ready = "yes";
}

function pointing(canvas, player) {
  const timeline = player.timeline;
  const words = document.getElementById("under-pointer");
  let scrubbing = false;
  const seekTo = (event) => player.goTo(player.frameAt(Math.max(0, timeline.us(event.offsetX))));
  canvas.addEventListener("pointerdown", (event) => {
    scrubbing = true;
    canvas.setPointerCapture(event.pointerId);
    seekTo(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (scrubbing) seekTo(event);
    words.textContent = timeline.at(event.offsetX, event.offsetY)?.words ?? clockOf(Math.max(0, timeline.us(event.offsetX)));
  });
  canvas.addEventListener("pointerup", () => { scrubbing = false; });
  canvas.addEventListener("pointercancel", () => { scrubbing = false; });
  canvas.addEventListener("dblclick", (event) => {
    const stretch = timeline.at(event.offsetX, event.offsetY)?.stretch;
    if (stretch) timeline.look(stretch.start_us - (stretch.end_us - stretch.start_us), 3 * (stretch.end_us - stretch.start_us));
  });
  canvas.addEventListener("wheel", (event) => {
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      timeline.zoom(event.deltaY < 0 ? 1.25 : 0.8, timeline.us(event.offsetX));
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      const length = timeline.view[1] - timeline.view[0];
      timeline.look(timeline.view[0] + (event.deltaX || event.deltaY) / timeline.width * length);
    }
  }, { passive: false });
}

begin();
