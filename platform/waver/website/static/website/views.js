// The other cameras of a take follow the page's playhead: what they show is the frame that was shown
// at that moment, by their own rate and offset. Standing still, exactly; playing, kept within a frame.
"use strict";

const FAR_US = 150_000; // further away than this, it is sought again
const NEAR_US = 15_000;

class OtherView {
  constructor(figure) {
    this.figure = figure;
    this.video = figure.querySelector("video");
    this.absent = figure.querySelector(".absent");
    this.where = figure.querySelector("output");
    this.offset = Number(figure.dataset.offsetUs);
    this.num = Number(figure.dataset.rateNumerator);
    this.den = Number(figure.dataset.rateDenominator);
    this.count = Number(figure.dataset.frameCount);
    this.duration = Number(figure.dataset.durationUs);
    this.wanted = null;
    this.frame = null;
    this.drift = 0;
    this.video.muted = true;
    this.video.addEventListener("seeked", () => { if (this.wanted !== null && this.wanted !== this.sought) this.jump(); });
    if ("requestVideoFrameCallback" in this.video) {
      const presented = (_, { mediaTime }) => {
        this.show(Math.round(mediaTime * this.num / this.den));
        this.video.requestVideoFrameCallback(presented);
      };
      this.video.requestVideoFrameCallback(presented);
    } else {
      this.video.addEventListener("timeupdate", () => this.show(this.frameAt(this.video.currentTime * 1e6)));
    }
  }

  frameUs(n) { return Player.prototype.frameUs.call(this, n); }
  frameAt(us) { return Player.prototype.frameAt.call(this, us); }

  show(frame) {
    this.frame = frame;
    if (frame === this.wanted) this.wanted = null;
    this.figure.dataset.frame = frame;
    this.where.textContent = `frame ${frame}`;
  }

  jump() {
    this.sought = this.wanted;
    this.video.currentTime = (this.wanted + 0.5) * this.den / this.num;
  }

  seek(frame) {
    if (frame === this.frame && this.wanted === null && !this.video.seeking) return;
    this.wanted = frame;
    if (!this.video.seeking) this.jump();
  }

  /** Show what this view shows at a time of the page's clock. */
  follow({ us, playing, speed }) {
    const here = us - this.offset;
    const there = here >= 0 && here < this.duration;
    this.absent.hidden = there;
    this.figure.dataset.there = there ? "yes" : "no";
    if (!there) {
      this.absent.textContent = here < 0 ? "Not recording yet" : "No longer recording";
      this.video.pause();
      return;
    }
    if (!playing) {
      if (!this.video.paused) {
        this.video.pause();
        this.frame = null; // a later one may be on the screen before the browser tells us
      }
      this.seek(this.frameAt(here));
      return;
    }
    this.wanted = this.sought = null;
    if (this.video.paused) {
      if (Math.abs(this.video.currentTime * 1e6 - here) > NEAR_US) this.video.currentTime = here / 1e6;
      this.video.play().catch(() => {}); // the browser stops it again when the page is left
      return;
    }
    this.keepUp(here, speed);
  }

  /** Two players never run equally fast: the one that is late plays a little faster, and so on. */
  keepUp(here, speed) {
    if (this.video.seeking) return;
    this.drift = this.video.currentTime * 1e6 - here;
    this.figure.dataset.driftUs = Math.round(this.drift);
    if (Math.abs(this.drift) > FAR_US) {
      this.video.currentTime = here / 1e6;
      return;
    }
    const much = Math.abs(this.drift) < NEAR_US ? 0 : Math.max(-0.1, Math.min(0.1, this.drift / 1e6));
    this.video.playbackRate = speed * (1 - much);
  }
}

function beginViews() {
  const root = document.getElementById("recording");
  const video = document.getElementById("video");
  const views = [...document.querySelectorAll(".other-view")].map((figure) => new OtherView(figure));
  if (!video || !views.length) return;
  let last = { us: 0, playing: false, speed: 1 };
  const follow = (now) => {
    last = now;
    for (const view of views) view.follow(now);
  };
  root.addEventListener("playhead", (event) => follow(event.detail));
  video.addEventListener("pause", () => follow({ ...last, playing: false }));
  for (const view of views) view.video.addEventListener("loadeddata", () => view.follow(last));
  follow(last);
  const frame = document.getElementById("views");
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-arrange]");
    if (!button) return;
    frame.dataset.arrange = button.dataset.arrange;
    for (const one of document.querySelectorAll("button[data-arrange]")) one.setAttribute("aria-pressed", one === button);
  });
}

beginViews();
