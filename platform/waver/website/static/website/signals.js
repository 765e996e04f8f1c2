// Sensor channels: a row each on the timeline, drawn from the samples of the stretch that is shown,
// and the value under the playhead. Times are microseconds on the page's clock.
"use strict";

class Sensors {
  constructor(panel, root) {
    this.panel = panel;
    this.root = root;
    this.drawn = null; // the stretch that was last fetched for drawing: { start_us, end_us, by key }
    this.tiles = new Map(); // number of a tile -> { key: channel }, each with every sample
    this.asked = "";
    this.lines = new Map([...panel.querySelectorAll("[data-channel]")].map((row) => [row.dataset.channel, row]));
    this.problem = document.getElementById("sensors-problem");
  }

  /** Fetch channels of a stretch; null, and a sentence on the page, when that fails. */
  async fetch(start, end, more) {
    const query = new URLSearchParams({ start_us: Math.round(start), end_us: Math.round(end), ...more });
    const answer = await fetch(`${this.panel.dataset.stretchUrl}?${query}`, { headers: { Accept: "application/json" } })
      .catch(() => null);
    const told = answer && await answer.json().catch(() => null);
    this.problem.textContent = answer?.ok ? "" : told?.problem ?? "The sensors' samples could not be fetched. Reload the page.";
    return answer?.ok ? new Map(told.channels.map((channel) => [channel.key, channel])) : null;
  }

  /** The timeline shows another stretch: fetch its samples once it has stayed for a moment. */
  look(timeline) {
    const [start, end] = timeline.view;
    const wanted = `${Math.round(start)}-${Math.round(end)}-${Math.round(timeline.width)}`;
    if (wanted === this.asked) return;
    this.asked = wanted;
    clearTimeout(this.waiting);
    this.waiting = setTimeout(async () => {
      const channels = await this.fetch(start, end, { buckets: Math.max(50, Math.round(timeline.width / 2)) });
      if (!channels || wanted !== this.asked) return;
      this.drawn = { start, end, channels };
      this.tell();
      timeline.draw();
    }, this.drawn ? 120 : 0);
  }

  /** Write the table of the stretch, and where to get its samples. */
  tell() {
    const { start, end, channels } = this.drawn;
    document.getElementById("sensors-stretch").textContent = `${signedClock(start)} to ${signedClock(end)}`;
    document.getElementById("sensors-csv").href =
      `${this.panel.dataset.tableUrl}?start_us=${Math.round(start)}&end_us=${Math.round(end)}`;
    for (const [key, { summary }] of channels) {
      const line = this.lines.get(key);
      if (!line) continue;
      for (const part of ["samples", "missing"]) this.write(line, part, String(summary[part]));
      for (const part of ["low", "mean", "high"]) this.write(line, part, numberOf(summary[part]));
    }
    this.root.dataset.sensors = "shown";
  }

  write(line, part, words) { line.querySelector(`[data-is=${part}]`).textContent = words; }

  /** The sample that stands at a time: the last one at or before it. Undefined until it is here. */
  valueAt(row, us, timeline) {
    if (us < row.start_us || us >= row.end_us) return null;
    const tile = Math.floor(us / Sensors.TILE);
    const channel = this.tile(tile, timeline)?.get(row.key);
    this.tile(tile + 1, timeline);
    if (!channel) return undefined;
    if (!channel.time_us) return undefined; // more samples than a page can hold
    let [low, high] = [0, channel.time_us.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (channel.time_us[middle] <= us) low = middle + 1; else high = middle;
    }
    return low ? channel.value[low - 1] : channel.before?.[1] ?? null;
  }

  tile(number, timeline) {
    const there = this.tiles.get(number);
    if (there !== undefined) return there;
    if (this.tiles.size > 32) this.tiles.clear();
    this.tiles.set(number, null);
    this.fetch(number * Sensors.TILE, (number + 1) * Sensors.TILE, { exact: 1 }).then((channels) => {
      if (channels) this.tiles.set(number, channels);
      timeline.draw();
    });
    return null;
  }

  /** Write a channel's value at the playhead beside its row and into the table. */
  now(row, timeline, cell) {
    const value = this.valueAt(row, timeline.playhead, timeline);
    if (value === undefined) return;
    const words = value === null ? "–" : numberOf(value);
    const beside = cell?.querySelector(".more");
    if (beside) beside.textContent = value === null ? row.unit : `${words} ${row.unit}`;
    const line = this.lines.get(row.key);
    if (line) this.write(line, "now", words);
  }
}
Sensors.TILE = 4_000_000;

/** A number as people read it: at most six digits that count, with a true minus sign. */
function numberOf(value) {
  if (value === null || value === undefined) return "–";
  return String(Number(value.toPrecision(6))).replace("-", "−");
}

function signedClock(us) { return us < 0 ? `−${clockOf(-us)}` : clockOf(us); }

let sensors = null;
{
  const panel = document.getElementById("sensors");
  if (panel) sensors = new Sensors(panel, document.getElementById("recording"));
}

/** One row for each channel, for Timeline.show. */
function sensorRows(channels) {
  return channels.map((channel) => ({
    name: channel.name, height: 56, draw: "signal", data: channel, more: [channel.unit || " "],
  }));
}

/** Paint one channel: its samples joined, or the extremes of each two pixels, with its scale. */
Timeline.prototype.signal = function signal(row, top, height) {
  if (!sensors) return;
  sensors.look(this);
  sensors.now(row, this, this.names.children[this.rows.findIndex((one) => one.data === row)]);
  const [low, high] = scaleOf(row);
  const y = (value) => top + height - 7 - (value - low) / (high - low) * (height - 14);
  this.pen.fillStyle = this.ink.sunken;
  const [from, to] = [this.x(row.start_us), this.x(row.end_us)];
  this.pen.fillRect(from, top, to - from, height);
  this.pen.strokeStyle = this.pen.fillStyle = this.ink.ink;
  this.pen.lineWidth = 1.25;
  const near = sensors.drawn?.channels.get(row.key);
  if (near?.time_us) this.samples(near, row, y);
  else this.extremes(near ?? row.outline, y);
  for (const [value, middle] of [[row.maximum, top + 10], [row.minimum, top + height - 10]]) this.scaleWord(value, middle);
  this.hit(row, top, height, `${row.name}${row.unit ? ` (${row.unit})` : ""}, ${numberOf(row.minimum)} to ${numberOf(row.maximum)}`);
};

/** Write one end of a row's scale at the right, on a ground of its own so that no line crosses it. */
Timeline.prototype.scaleWord = function scaleWord(value, middle) {
  const words = numberOf(value);
  const wide = this.pen.measureText(words).width + 8;
  this.pen.fillStyle = this.ink.surface;
  this.pen.fillRect(this.width - wide - 2, middle - 8, wide + 2, 16);
  this.pen.fillStyle = this.ink["ink-soft"];
  this.pen.textAlign = "right";
  this.pen.fillText(words, this.width - 6, middle);
  this.pen.textAlign = "left";
};

Timeline.prototype.samples = function samples({ time_us, value, before }, row, y) {
  const gap = row.rate ? 2.5e6 * row.rate[1] / row.rate[0] : Infinity;
  const points = before ? [[before[0], before[1]]] : [];
  for (let n = 0; n < time_us.length; n++) points.push([time_us[n], value[n]]);
  const dots = points.length < this.width / 8;
  let last = null;
  this.pen.beginPath();
  for (const [us, height] of points) {
    if (height === null) { last = null; continue; }
    if (last !== null && us - last <= gap) this.pen.lineTo(this.x(us), y(height));
    else this.pen.moveTo(this.x(us), y(height));
    if (dots || last === null) this.pen.fillRect(this.x(us) - 1.5, y(height) - 1.5, 3, 3);
    last = us;
  }
  this.pen.stroke();
};

Timeline.prototype.extremes = function extremes({ start_us, bucket_us, low, high }, y) {
  for (let n = 0; n < low.length; n++) {
    if (low[n] === null) continue;
    const x = this.x(start_us + n * bucket_us);
    const wide = Math.max(1, this.x(start_us + (n + 1) * bucket_us) - x);
    if (x + wide < 0 || x > this.width) continue;
    this.pen.fillRect(x, y(high[n]) - 0.5, wide, Math.max(1, y(low[n]) - y(high[n]) + 1));
  }
};

function scaleOf(row) {
  const [low, high] = [row.minimum ?? 0, row.maximum ?? 1];
  return high > low ? [low, high] : [low - 1, high + 1];
}

/** A recording of sensors has no picture: its timeline stands alone, and a click sets the playhead. */
async function drawAlone() {
  const root = document.getElementById("recording");
  const canvas = document.getElementById("timeline");
  if (!sensors || !canvas || document.getElementById("video")) return;
  const [start, end] = [Number(root.dataset.startUs), Number(root.dataset.endUs)];
  const timeline = new Timeline(canvas, document.getElementById("timeline-names"), {
    durationUs: end - start, startUs: start, faceUrl: () => "", frameAt: () => 0, frameUs: () => 0,
  });
  timeline.view = [start, end];
  timeline.playhead = start;
  const words = document.getElementById("under-pointer");
  const moveTo = (us) => {
    timeline.moveTo(Math.min(Math.max(us, start), end - 1));
    words.textContent = signedClock(timeline.playhead);
  };
  canvas.addEventListener("pointerdown", (event) => moveTo(timeline.us(event.offsetX)));
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    moveTo(timeline.playhead + step * (event.shiftKey ? 1e6 : (timeline.view[1] - timeline.view[0]) / 200));
  });
  document.addEventListener("click", (event) => {
    const factor = { "zoom-in": 2, "zoom-out": 0.5, "zoom-all": 1e-9 }[event.target.closest("[data-do]")?.dataset.do];
    if (factor) timeline.zoom(factor);
  });
  const answer = await fetch(root.dataset.timelineUrl, { headers: { Accept: "application/json" } });
  const data = await answer.json();
  if (answer.ok) timeline.show(data);
  else words.textContent = data.problem;
  root.dataset.ready = "yes";
}

drawAlone();
