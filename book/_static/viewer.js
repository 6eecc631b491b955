// A melt that can be turned: <div class="melt" data-melt='{"cell": …, "positions": [[x, y, z], …], "species": […], "values": […], …}'>.
// Drag to turn, wheel or pinch to zoom, boxes to show or hide a species. No library, no network.
"use strict";

function show(box) {
  const melt = JSON.parse(box.dataset.melt);
  const canvas = box.appendChild(document.createElement("canvas"));
  const legend = box.appendChild(document.createElement("p"));
  const pen = canvas.getContext("2d");
  const shown = {};
  let turn = [[1, 0, 0], [0, 1, 0], [0, 0, 1]], zoom = 1, last = null, queued = false;
  const centre = [0, 1, 2].map((k) => (melt.cell[0][k] + melt.cell[1][k] + melt.cell[2][k]) / 2);
  const size = Math.max(...melt.cell.map((v) => Math.hypot(...v)));

  // dark to bright, in equal steps of lightness
  const colours = melt.values.map((v) => {
    const x = Math.min(1, Math.max(0, (v - melt.low) / (melt.high - melt.low)));
    return [Math.round(40 + 215 * x), Math.round(30 + 170 * x * x), Math.round(110 - 70 * x)];
  });

  const times = (a, b) => a.map((row) => [0, 1, 2].map((j) => row[0] * b[0][j] + row[1] * b[1][j] + row[2] * b[2][j]));
  const about = (x, y) => {
    const [a, b, c, d] = [Math.cos(x), Math.sin(x), Math.cos(y), Math.sin(y)];
    return times([[1, 0, 0], [0, c, -d], [0, d, c]], [[a, 0, b], [0, 1, 0], [-b, 0, a]]);
  };
  turn = about(0.5, 0.35);

  function draw() {
    queued = false;
    const ratio = window.devicePixelRatio || 1, wide = canvas.clientWidth, high = canvas.clientHeight;
    canvas.width = wide * ratio;
    canvas.height = high * ratio;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, wide, high);
    const scale = (zoom * Math.min(wide, high)) / (1.7 * size), far = 3 * size;
    const project = (p) => {
      const r = turn.map((row) => row[0] * (p[0] - centre[0]) + row[1] * (p[1] - centre[1]) + row[2] * (p[2] - centre[2]));
      const near = far / (far - r[2]);
      return [wide / 2 + r[0] * scale * near, high / 2 - r[1] * scale * near, r[2], near];
    };
    const corners = [0, 1, 2, 3, 4, 5, 6, 7].map((n) =>
      project([0, 1, 2].map((k) => (n & 1) * melt.cell[0][k] + ((n >> 1) & 1) * melt.cell[1][k] + (n >> 2) * melt.cell[2][k])));
    pen.strokeStyle = "rgba(128, 128, 128, 0.6)";
    pen.beginPath();
    for (let n = 0; n < 8; n++) for (const bit of [1, 2, 4]) if (!(n & bit)) {
      pen.moveTo(corners[n][0], corners[n][1]);
      pen.lineTo(corners[n | bit][0], corners[n | bit][1]);
    }
    pen.stroke();
    const atoms = melt.positions.map((p, i) => [i, ...project(p)]).filter(([i]) => shown[melt.species[i]]).sort((a, b) => a[3] - b[3]);
    for (const [i, x, y, z, near] of atoms) {
      const r = melt.radii[melt.species[i]] * scale * near, fog = 0.35 + 0.65 * Math.min(1, Math.max(0, 0.5 + z / size));
      const [red, green, blue] = colours[i].map((c) => Math.round(255 - (255 - c) * fog));
      pen.beginPath();
      pen.arc(x, y, r, 0, 7);
      pen.fillStyle = `rgb(${red}, ${green}, ${blue})`;
      pen.fill();
      pen.strokeStyle = `rgba(0, 0, 0, ${0.35 * fog})`;
      pen.stroke();
    }
  }
  const redraw = () => { if (!queued) { queued = true; requestAnimationFrame(draw); } };

  for (const name of Object.keys(melt.radii)) {
    const label = legend.appendChild(document.createElement("label")), tick = document.createElement("input");
    shown[name] = tick.checked = melt.shown.includes(name);
    tick.type = "checkbox";
    tick.onchange = () => { shown[name] = tick.checked; redraw(); };
    label.append(tick, ` ${name}`);
  }
  legend.append(melt.caption);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", melt.caption);
  canvas.onpointerdown = (e) => { last = [e.clientX, e.clientY]; canvas.setPointerCapture(e.pointerId); };
  canvas.onpointerup = () => { last = null; };
  canvas.onpointermove = (e) => {
    if (!last) return;
    turn = times(about((e.clientX - last[0]) / 150, (e.clientY - last[1]) / 150), turn);
    last = [e.clientX, e.clientY];
    redraw();
  };
  canvas.addEventListener("wheel", (e) => { e.preventDefault(); zoom *= Math.exp(-e.deltaY / 800); redraw(); }, { passive: false });
  new ResizeObserver(redraw).observe(canvas);
  redraw();
}

document.querySelectorAll(".melt").forEach(show);
