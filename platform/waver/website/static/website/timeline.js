// The timeline's drawing: rows on one canvas, all on the recording's clock (integer microseconds).
// It knows nothing of the player; recording.js tells it the playhead and hears about clicks.
"use strict";

class Timeline {
  /** @param {HTMLCanvasElement} canvas @param {HTMLElement} names
   *  @param {{durationUs: number, faceUrl: (frame: number) => string, frameAt: (us: number) => number, frameUs: (frame: number) => number}} of */
  constructor(canvas, names, of) {
    this.canvas = canvas;
    this.names = names;
    this.of = of;
    this.view = [0, of.durationUs];
    this.playhead = 0;
    this.rows = [];
    this.hits = [];
    this.pictures = new Map();
    this.loop = null;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** Take the data of the recording and lay out one row for each kind. */
  show(data) {
    const rows = [{ name: "Time", height: 24, draw: "ruler" }];
    const spans = (pairs) => pairs.map(([start_us, end_us]) => ({ start_us, end_us }));
    if (data.waveform) rows.push({ name: "Sound", height: 48, draw: "wave", data: data.waveform });
    const camera = !["depth", "physiology"].includes(data.view);
    if (camera) rows.push({ name: "Speech, pauses", height: 28, draw: "speech",
      data: { speech: spans(data.speech), pauses: spans(data.pauses) } });
    if (data.transcript) rows.push({ name: "Transcript", height: 28, draw: "said", data: data.transcript.segments });
    if (camera) rows.push({ name: "Face", height: 64, draw: "faces",
      data: data.faces.runs.map(([start_us, end_us, status]) => ({ start_us, end_us, status })) });
    if (data.pose) rows.push({ name: "Head turn", height: 48, draw: "yaw", data: data.pose });
    rows.push(...sensorRows(data.sensors));
    for (const cue of [...new Set(data.cues.map((c) => c.cue))].sort()) {
      rows.push({ name: `Candidate: ${cue.replaceAll("_", " ")}`, height: 24, draw: "cues",
        data: data.cues.filter((c) => c.cue === cue) });
    }
    for (const rater of oneRowEach(data.raters)) {
      rows.push({ name: rater.name, height: 28, draw: "marks", data: rater, title: rater.who,
        more: [rater.is_synthetic ? "synthetic" : "", ...rater.answers.map((a) => a.answer)] });
    }
    for (const shares of data.consensus) {
      rows.push({ name: shares.name, height: 36, draw: "shares", data: shares, title: shares.label });
    }
    if (data.restrictions.length) {
      rows.push({ name: "Must not be used", height: 24, draw: "restrictions", data: data.restrictions });
    }
    this.rows = rows;
    this.names.replaceChildren(...rows.map((row) => {
      const cell = document.createElement("div");
      cell.style.height = `${row.height}px`;
      cell.textContent = row.name;
      const more = (row.more ?? []).filter(Boolean).join(", ");
      if (more) {
        const words = document.createElement("span");
        words.className = "more";
        words.textContent = more;
        cell.append(words);
      }
      cell.title = [row.name, row.title, more].filter(Boolean).join(", ");
      return cell;
    }));
    this.height = rows.reduce((sum, row) => sum + row.height, 0);
    this.canvas.style.height = `${this.height}px`;
    this.draw();
  }

  /** Every stretch that [ and ] step through, by start. */
  stretches() {
    return this.rows
      .flatMap((row) => row.draw === "marks" ? row.data.marks : row.draw === "cues" ? row.data : [])
      .sort((a, b) => a.start_us - b.start_us || a.end_us - b.end_us);
  }

  x(us) { return (us - this.view[0]) / (this.view[1] - this.view[0]) * this.width; }
  us(x) { return this.view[0] + x / this.width * (this.view[1] - this.view[0]); }

  /** Zoom by `factor` (above 1: closer) about a time. */
  zoom(factor, about = this.playhead) {
    const length = Math.min(this.of.durationUs, Math.max(200_000, (this.view[1] - this.view[0]) / factor));
    const share = (about - this.view[0]) / (this.view[1] - this.view[0]);
    this.look(about - share * length, length);
  }

  look(start, length = this.view[1] - this.view[0]) {
    const first = this.of.startUs ?? 0; // sensors alone may begin before 0
    const from = Math.max(first, Math.min(start, first + this.of.durationUs - length));
    this.view = [from, from + length];
    this.draw();
  }

  /** Move the playhead; the view follows when it leaves it. */
  moveTo(us) {
    this.playhead = us;
    if (us < this.view[0] || us > this.view[1]) this.look(us - (this.view[1] - this.view[0]) * 0.1);
    else this.draw();
  }

  /** What lies under a point of the canvas: the topmost stretch, or null. */
  at(x, y) {
    return this.hits.findLast((hit) => x >= hit.x0 - 1 && x <= hit.x1 + 1 && y >= hit.y0 && y <= hit.y1) ?? null;
  }

  draw() {
    if (this.queued || !this.rows.length) return;
    this.queued = requestAnimationFrame(() => { this.queued = null; this.paint(); });
  }

  paint() {
    const scale = devicePixelRatio || 1;
    this.width = this.canvas.clientWidth;
    if (!this.width) return;
    this.canvas.width = Math.round(this.width * scale);
    this.canvas.height = Math.round(this.height * scale);
    const pen = this.pen = this.canvas.getContext("2d");
    pen.scale(scale, scale);
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    this.ink = Object.fromEntries(["ink", "ink-soft", "line", "line-strong", "sunken", "accent", "accent-soft",
      "surface", "good", "wait", "attention", "bad"].map((name) => [name, colour(name)]));
    pen.font = `12px ${style.getPropertyValue("--sans")}`;
    pen.textBaseline = "middle";
    this.hits = [];
    if (this.loop) {
      pen.fillStyle = this.ink["accent-soft"];
      pen.fillRect(this.x(this.loop[0]), 0, this.x(this.loop[1]) - this.x(this.loop[0]), this.height);
    }
    let top = 0;
    for (const row of this.rows) {
      pen.save();
      pen.beginPath();
      pen.rect(0, top, this.width, row.height);
      pen.clip();
      this[row.draw](row.data, top, row.height);
      pen.restore();
      top += row.height;
      pen.fillStyle = this.ink.line;
      pen.fillRect(0, top - 1, this.width, 1);
    }
    const head = Math.round(this.x(this.playhead));
    pen.fillStyle = this.ink.accent;
    pen.fillRect(head - 1, 0, 2, this.height);
    pen.beginPath();
    pen.moveTo(head - 6, 0);
    pen.lineTo(head + 6, 0);
    pen.lineTo(head, 8);
    pen.fill();
  }

  // ---- one painter for each kind of row; `top` and `height` are in CSS pixels ----

  ruler(_, top, height) {
    const seconds = (this.view[1] - this.view[0]) / 1e6;
    const steps = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600];
    const step = steps.find((s) => seconds / s * 72 <= this.width) ?? 600;
    this.pen.fillStyle = this.ink["ink-soft"];
    for (let n = Math.ceil(this.view[0] / 1e6 / step); n * step * 1e6 <= this.view[1]; n++) {
      const x = this.x(n * step * 1e6);
      this.pen.fillRect(Math.round(x), top + height - 7, 1, 6);
      const minutes = Math.floor(n * step / 60);
      const rest = (n * step - minutes * 60).toFixed(step < 1 ? (step < 0.1 ? 2 : 1) : 0);
      this.pen.fillText(`${minutes}:${rest.padStart(step < 1 ? 4 : 2, "0")}`, x + 4, top + height / 2 - 1);
    }
  }

  wave({ buckets_per_second, peaks }, top, height) {
    const middle = top + height / 2;
    const perUs = buckets_per_second / 1e6;
    this.pen.fillStyle = this.ink["ink-soft"];
    for (let x = 0; x < this.width; x++) {
      const from = Math.floor(this.us(x) * perUs);
      const to = Math.max(from + 1, Math.floor(this.us(x + 1) * perUs));
      let peak = 0;
      for (let n = from; n < to && n < peaks.length; n++) peak = Math.max(peak, peaks[n]);
      const half = Math.max(0.5, peak * (height / 2 - 4));
      this.pen.fillRect(x, middle - half, 1, 2 * half);
    }
  }

  speech({ speech, pauses }, top, height) {
    for (const span of speech) {
      this.block(span, top + 6, height - 13, this.ink.wait, "speech", `Speech, ${lengthOf(span)}`);
    }
    this.pen.strokeStyle = this.ink["ink-soft"];
    for (const span of pauses) {
      const [x0, x1] = [this.x(span.start_us), this.x(span.end_us)];
      this.pen.strokeRect(x0 + 0.5, top + 10.5, Math.max(1, x1 - x0 - 1), height - 22);
      this.hit(span, top, height, `Pause, ${lengthOf(span)}`);
    }
  }

  faces(runs, top, height) {
    const side = 48;
    const count = Math.floor(this.width / (side + 2));
    const seen = runs.filter((run) => ["usable", "occluded", "blurred"].includes(run.status));
    for (let n = 0; n <= count; n++) {
      const x = n * (side + 2);
      const us = Math.max(0, Math.min(this.us(x + side / 2), this.of.durationUs - 1));
      const run = seen.find((run) => run.start_us <= us && us < run.end_us);
      const image = run && this.face(this.of.frameAt(us), run);
      if (image) this.pen.drawImage(image, x, top + 3, side, side);
    }
    for (const run of runs) {
      // A thin line where the face is not usable: told apart without colour, too.
      const [down, thick, ink] = run.status === "usable" ? [10, 5, this.ink.good] : [8, 2, this.ink.attention];
      this.block(run, top + height - down, thick, ink, "face",
        `Face ${run.status.replaceAll("_", " ")}, ${lengthOf(run)}`);
    }
  }

  face(frame, run) {
    // Every fifth frame, so that zooming asks for few new pictures, but never one outside the run.
    const rounded = frame - frame % 5;
    const near = this.of.frameUs(rounded) < run.start_us ? frame : rounded;
    for (const key of [frame, near]) if (this.pictures.get(key)?.ready) return this.pictures.get(key).image;
    if (!this.pictures.has(near) && this.pictures.size < 600) {
      const image = new Image();
      const entry = { image, ready: false };
      this.pictures.set(near, entry);
      image.onload = () => { entry.ready = true; this.draw(); };
      image.src = this.of.faceUrl(near);
    }
    return null;
  }

  yaw({ time_us, yaw }, top, height) {
    const most = Math.max(30, ...yaw.map((d) => Math.abs(d ?? 0)));
    const y = (d) => top + height / 2 - d / most * (height / 2 - 5);
    this.pen.fillStyle = this.ink.line;
    this.pen.fillRect(0, Math.round(y(0)), this.width, 1);
    this.pen.strokeStyle = this.ink.ink;
    this.pen.lineWidth = 1.25;
    this.pen.beginPath();
    let drawing = false;
    for (let n = 0; n < time_us.length; n++) {
      if (yaw[n] === null || time_us[n] < this.view[0] - 1e6 || time_us[n] > this.view[1] + 1e6) {
        drawing = false;
        continue;
      }
      const x = this.x(time_us[n]);
      if (drawing) this.pen.lineTo(x, y(yaw[n])); else this.pen.moveTo(x, y(yaw[n]));
      drawing = true;
    }
    this.pen.stroke();
    this.pen.fillStyle = this.ink["ink-soft"];
    this.pen.textAlign = "right";
    this.pen.fillText(`±${Math.round(most)}°`, this.width - 6, top + 10);
    this.pen.textAlign = "left";
  }

  cues(cues, top, height) {
    for (const cue of cues) {
      this.pen.globalAlpha = 0.25 + 0.5 * cue.score;
      this.block(cue, top + 4, height - 9, this.ink.attention);
      this.pen.globalAlpha = 1;
      this.pen.strokeStyle = this.ink.attention;
      this.pen.lineWidth = 1;
      this.pen.setLineDash([3, 2]);
      const x0 = this.x(cue.start_us);
      this.pen.strokeRect(x0 + 0.5, top + 4.5, Math.max(2, this.x(cue.end_us) - x0 - 1), height - 10);
      this.pen.setLineDash([]);
      this.hit(cue, top, height, `Candidate “${cue.cue.replaceAll("_", " ")}”, score ${cue.score.toFixed(2)}, ${lengthOf(cue)}: ${cue.detail}`, cue);
    }
  }

  marks(rater, top, height) {
    if (!rater.marks.length) {
      this.pen.fillStyle = this.ink["ink-soft"];
      const words = rater.done ? (rater.answers.length ? "" : "marked nothing") : "not labelled yet";
      this.pen.fillText(words, 8, top + height / 2);
    }
    for (const mark of rater.marks) {
      this.block(mark, top + 4, height - 9, mark.colour);
      const sure = mark.certainty === null ? "" : `, certainty ${mark.certainty}`;
      const cues = mark.cues.length ? ` (${mark.cues.join(", ")})` : "";
      this.hit(mark, top, height, `${rater.name}: ${mark.label}${sure}, ${lengthOf(mark)}${cues}`, mark);
    }
  }

  /** How many of the raters marked a label, by time: as high as their share, faint up to a half. */
  shares({ label, colour, steps }, top, height) {
    const full = height - 9;
    const level = (share) => top + height - 5 - share * full;
    for (const [start_us, end_us, share] of steps) {
      if (!share) continue;
      const [x0, x1] = [this.x(start_us), this.x(end_us)];
      this.pen.globalAlpha = share > 0.5 ? 1 : 0.45;
      this.pen.fillStyle = colour;
      this.pen.fillRect(x0, level(share), Math.max(1, x1 - x0), share * full);
      this.pen.globalAlpha = 1;
      this.pen.strokeStyle = colour;
      this.pen.strokeRect(x0 + 0.5, level(share) + 0.5, Math.max(1, x1 - x0 - 1), share * full - 1);
      const said = share > 0.5 ? "most raters" : share === 0.5 ? "half of the raters, undecided" : "a minority";
      this.hit({ start_us, end_us }, top, height, `${label}: marked by ${Math.round(100 * share)} %, ${said}, ${lengthOf({ start_us, end_us })}`);
    }
    this.pen.strokeStyle = this.ink["line-strong"];
    this.pen.setLineDash([3, 3]);
    this.pen.beginPath();
    this.pen.moveTo(0, level(0.5));
    this.pen.lineTo(this.width, level(0.5));
    this.pen.stroke();
    this.pen.setLineDash([]);
  }

  restrictions(spans, top, height) {
    for (const span of spans) {
      const [x0, x1] = [this.x(span.start_us), this.x(span.end_us)];
      this.pen.strokeStyle = this.ink.bad;
      this.pen.strokeRect(x0 + 0.5, top + 4.5, Math.max(2, x1 - x0 - 1), height - 10);
      for (let x = x0; x < x1; x += 6) {
        this.pen.beginPath();
        this.pen.moveTo(x, top + height - 5);
        this.pen.lineTo(Math.min(x + 6, x1), top + 5);
        this.pen.stroke();
      }
      this.hit(span, top, height, `Must not be used: ${span.reason ?? ""}`, span);
    }
  }

  block(span, top, height, colour, kind = "", words = "") {
    const x0 = this.x(span.start_us);
    this.pen.fillStyle = colour;
    this.pen.fillRect(x0, top, Math.max(2, this.x(span.end_us) - x0), height);
    if (kind) this.hit(span, top, height, words);
  }

  hit(span, top, height, words, stretch = null) {
    this.hits.push({ x0: this.x(span.start_us), x1: this.x(span.end_us), y0: top, y1: top + height, words, stretch });
  }
}

/** A rater may have several passes of one recording; the timeline gives each rater one row. */
function oneRowEach(passes) {
  const rows = new Map();
  for (const pass of passes) {
    const row = rows.get(pass.name) ?? { ...pass, marks: [], answers: [], done: false };
    row.marks.push(...pass.marks);
    row.answers.push(...pass.answers);
    row.done ||= pass.state === "submitted";
    rows.set(pass.name, row);
  }
  return [...rows.values()];
}

function lengthOf(span) {
  return `${((span.end_us - span.start_us) / 1e6).toFixed(2)} s from ${clockOf(span.start_us)}`;
}

/** Write microseconds as minutes, seconds, milliseconds: 1:02.345, as waver.core.clock does. */
function clockOf(us) {
  const ms = Math.floor((us + 500) / 1000);
  const minutes = Math.floor(ms / 60000);
  const rest = ms - minutes * 60000;
  return `${minutes}:${String(Math.floor(rest / 1000)).padStart(2, "0")}.${String(rest % 1000).padStart(3, "0")}`;
}
