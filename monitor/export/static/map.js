"use strict";
// A map of the features of a page: outlines over a graticule. Drag moves it, the wheel zooms, a click shows the
// properties of a feature. Text of features is only ever set as text.

const FILL = "#56b4e9";

/** All features of a request, page by page. */
async function read(source, report) {
  const features = [];
  let next = source;
  while (next) {
    const address = new URL(next, location.href);
    address.searchParams.set("f", "geojson");
    if (/\/items$/.test(address.pathname) && !address.searchParams.has("limit")) {
      address.searchParams.set("limit", "2000");
    }
    const answer = await fetch(address.pathname + address.search);
    const content = await answer.json();
    if (!answer.ok) throw new Error(JSON.stringify(content.detail));
    features.push(...(content.features || [content]));
    report(`${features.length} features read`);
    const link = (content.links || []).find((one) => one.rel === "next");
    next = link && !new URL(source, location.href).searchParams.has("limit") ? link.href : null;
  }
  return features;
}

/** Polygons of a geometry: lists of rings. */
function polygons(geometry) {
  if (!geometry) return [];
  if (geometry.type === "Polygon") return [geometry.coordinates];
  return geometry.type === "MultiPolygon" ? geometry.coordinates : [];
}

function extent(features) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (const feature of features) {
    for (const [x, y] of polygons(feature.geometry).flat(2)) {
      box[0] = Math.min(box[0], x); box[1] = Math.min(box[1], y);
      box[2] = Math.max(box[2], x); box[3] = Math.max(box[3], y);
    }
  }
  return box[0] <= box[2] ? box : [-180, -85, 180, 85];
}

function draw(canvas, view, features, colours) {
  const scale = window.devicePixelRatio || 1;
  canvas.width = canvas.clientWidth * scale;
  canvas.height = canvas.clientHeight * scale;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const at = ([x, y]) => [width / 2 + (x - view.x) * view.zoom * view.narrow, height / 2 - (y - view.y) * view.zoom];
  const step = [30, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001]
    .filter((size) => size * view.zoom >= 80).pop() || 30;
  pen.font = "11px sans-serif";
  pen.strokeStyle = "#c9c2b2";
  pen.fillStyle = "#5b6166";
  const digits = Math.max(0, Math.ceil(-Math.log10(step)));
  const first = (middle, half) => Math.ceil((middle - half) / step);
  const last = (middle, half) => Math.floor((middle + half) / step);
  const [across, up] = [width / 2 / view.zoom / view.narrow, height / 2 / view.zoom];
  for (let n = first(view.x, across); n <= last(view.x, across); n++) {
    const x = at([n * step, 0])[0];
    pen.beginPath(); pen.moveTo(x, 0); pen.lineTo(x, height); pen.stroke();
    pen.fillText(`${(n * step).toFixed(digits)}°`, x + 3, height - 4);
  }
  for (let n = first(view.y, up); n <= last(view.y, up); n++) {
    const y = at([0, n * step])[1];
    pen.beginPath(); pen.moveTo(0, y); pen.lineTo(width, y); pen.stroke();
    pen.fillText(`${(n * step).toFixed(digits)}°`, 3, y - 3);
  }
  for (const feature of features) {
    const path = new Path2D();
    for (const ring of polygons(feature.geometry).flat()) {
      ring.forEach((point, n) => (n ? path.lineTo(...at(point)) : path.moveTo(...at(point))));
      path.closePath();
    }
    feature.path = path;
    pen.fillStyle = colours[(feature.properties || {}).verdict] || FILL;
    pen.strokeStyle = feature === view.chosen ? "#d55e00" : "#0b3954";
    pen.lineWidth = feature === view.chosen ? 2.5 : 1;
    pen.globalAlpha = 0.75;
    pen.fill(path, "evenodd");
    pen.globalAlpha = 1;
    pen.stroke(path);
  }
}

function show(table, feature) {
  table.replaceChildren();
  for (const [name, value] of Object.entries((feature && feature.properties) || {})) {
    const row = table.insertRow();
    row.appendChild(document.createElement("th")).textContent = name;
    row.insertCell().textContent = value === null ? "" : typeof value === "object" ? JSON.stringify(value) : value;
  }
}

async function open(place) {
  const canvas = place.querySelector("canvas");
  const state = place.querySelector(".state");
  const table = place.querySelector(".chosen");
  const colours = JSON.parse(canvas.dataset.colours);
  let features;
  try {
    features = await read(canvas.dataset.source, (text) => { state.textContent = text; });
  } catch (error) {
    state.textContent = `The features could not be read: ${error.message}`;
    return;
  }
  const drawn = features.filter((feature) => polygons(feature.geometry).length);
  state.textContent = `${features.length} features, ${drawn.length} with an outline`;
  const [west, south, east, north] = extent(drawn);
  const view = { x: (west + east) / 2, y: (south + north) / 2, chosen: null };
  view.narrow = Math.cos(view.y * Math.PI / 180);
  view.zoom = 0.9 * Math.min(
    canvas.clientWidth / (Math.max(east - west, 0.002) * view.narrow), canvas.clientHeight / Math.max(north - south, 0.002));
  const redraw = () => draw(canvas, view, drawn, colours);
  let held = null;
  canvas.addEventListener("pointerdown", (event) => {
    held = { x: event.offsetX, y: event.offsetY, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!held) return;
    const [right, down] = [event.offsetX - held.x, event.offsetY - held.y];
    if (!held.moved && Math.hypot(right, down) < 4) return;
    view.x -= right / view.zoom / view.narrow;
    view.y += down / view.zoom;
    held = { x: event.offsetX, y: event.offsetY, moved: true };
    redraw();
  });
  canvas.addEventListener("pointerup", (event) => {
    if (held && !held.moved) {
      const pen = canvas.getContext("2d");
      const scale = window.devicePixelRatio || 1;
      const inside = (one) => pen.isPointInPath(one.path, event.offsetX * scale, event.offsetY * scale, "evenodd");
      view.chosen = drawn.filter(inside).pop() || null;
      show(table, view.chosen);
      redraw();
    }
    held = null;
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const factor = Math.exp(-event.deltaY / 500);
    const [right, up] = [event.offsetX - canvas.clientWidth / 2, canvas.clientHeight / 2 - event.offsetY];
    view.x += right / view.zoom / view.narrow * (1 - 1 / factor);
    view.y += up / view.zoom * (1 - 1 / factor);
    view.zoom *= factor;
    redraw();
  }, { passive: false });
  window.addEventListener("resize", redraw);
  redraw();
}

document.querySelectorAll(".map").forEach(open);
