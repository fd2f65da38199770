// From a photo to the square that the network sees: pillow 13's pixels, or as nearly as two JPEG decoders agree.
// The order is that of data/photos.py: decoded small (JPEG), upright, scaled (to_square), padded with its edge.

const FINER = 2; // as in data/photos.py
const STRIP = 1024; // rows that are read from the browser at a time
const PRECISION = 2 ** 22; // of the weights, as in pillow's Resample.c

/** Pixels of an image: {width, height, data}, RGB one after another, rows from the top. */
function newImage(width, height) {
  return { width, height, data: new Uint8ClampedArray(3 * width * height) };
}

/** How a JPEG file says that it is to be turned, 1 to 8 (EXIF); 1 if it says nothing. */
function orientationOf(bytes) {
  const view = new DataView(bytes.buffer);
  for (let at = 2; at + 4 < view.byteLength && view.getUint8(at) === 0xff; at += 2 + view.getUint16(at + 2)) {
    if (view.getUint16(at) !== 0xffe1 || view.getUint32(at + 4) !== 0x45786966) continue; // APP1, "Exif"
    const start = at + 10;
    const little = view.getUint16(start) === 0x4949;
    const directory = start + view.getUint32(start + 4, little);
    for (let i = 0; i < view.getUint16(directory, little); i++) {
      const entry = directory + 2 + 12 * i;
      if (view.getUint16(entry, little) === 0x0112) return view.getUint16(entry + 8, little);
    }
  }
  return 1;
}

/** The photo in a file, upright; of a JPEG file at 1/8, 1/4 or 1/2 of its size where that is large enough. */
async function decode(file, imageSize) {
  const options = { imageOrientation: "from-image", premultiplyAlpha: "none", colorSpaceConversion: "none" };
  const bitmap = await createImageBitmap(file, options);
  const head = new Uint8Array(await file.slice(0, 2 ** 17).arrayBuffer());
  const isJpeg = head[0] === 0xff && head[1] === 0xd8;
  const times = Math.floor(Math.max(bitmap.width, bitmap.height) / (FINER * imageSize));
  const by = isJpeg ? [8, 4, 2, 1].find((shrink) => shrink <= Math.max(1, times)) : 1;
  let orientation = 1;
  try {
    orientation = orientationOf(head);
  } catch {} // metadata that are broken
  // A decoder makes one pixel of each square of them, from the corner where the file begins.
  const lead = [[2, 3, 6, 7], [3, 4, 7, 8]].map((turned, axis) => {
    const size = axis ? bitmap.height : bitmap.width;
    return turned.includes(orientation) ? (by - (size % by)) % by : 0;
  });
  const read = { width: bitmap.width, height: bitmap.height, channels: 4, rows: stripsOf(bitmap) };
  const image = means(read, by, by, lead);
  bitmap.close();
  return image;
}

/** Reads rows from a bitmap, some at a time: a canvas may not be as large as a photo. */
function stripsOf(bitmap) {
  const canvas = Object.assign(document.createElement("canvas"), { width: bitmap.width, height: STRIP });
  const drawing = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  let top = 0;
  let strip = null;
  return (row) => {
    if (!strip || row < top || row >= top + STRIP) {
      top = row - (row % STRIP);
      const rows = Math.min(STRIP, bitmap.height - top);
      drawing.clearRect(0, 0, bitmap.width, STRIP);
      drawing.drawImage(bitmap, 0, top, bitmap.width, rows, 0, 0, bitmap.width, rows);
      strip = drawing.getImageData(0, 0, bitmap.width, rows).data;
    }
    return strip.subarray(4 * bitmap.width * (row - top), 4 * bitmap.width * (row - top + 1));
  };
}

/** Means of `across` x `down` pixels; at the edges of those there are. `lead`: by how many the first ones are fewer. */
function means(from, across, down, lead) {
  const image = newImage(Math.ceil(from.width / across), Math.ceil(from.height / down));
  const sums = new Float64Array(3 * image.width);
  const rgb = new Float64Array(3);
  for (let y = 0; y < image.height; y++) {
    const [top, bottom] = [Math.max(0, y * down - lead[1]), Math.min(from.height, (y + 1) * down - lead[1])];
    sums.fill(0);
    for (let v = top; v < bottom; v++) {
      const row = from.rows(v);
      for (let u = 0; u < from.width; u++) {
        const to = 3 * Math.floor((u + lead[0]) / across);
        for (let channel = 0; channel < 3; channel++) sums[to + channel] += row[from.channels * u + channel];
      }
    }
    for (let x = 0; x < image.width; x++) {
      const wide = Math.min(from.width, (x + 1) * across - lead[0]) - Math.max(0, x * across - lead[0]);
      const count = wide * (bottom - top);
      const part = Math.floor(2 ** 24 / count); // as pillow divides, who rounds some halves down
      for (let channel = 0; channel < 3; channel++) {
        rgb[channel] = Math.floor(((sums[3 * x + channel] + (count >> 1)) * part) / 2 ** 24);
      }
      image.data.set(rgb, 3 * (y * image.width + x));
    }
  }
  return image;
}

/** Which pixels along one side make each of the scaled ones, and with what weights: pillow's BILINEAR. */
function weights(size, end, scaled) {
  const scale = end / scaled;
  const support = Math.max(1, scale);
  return Array.from({ length: scaled }, (_, i) => {
    const center = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - support + 0.5));
    const last = Math.min(size, Math.trunc(center + support + 0.5));
    const raw = [];
    for (let x = first; x < last; x++) raw.push(Math.max(0, 1 - Math.abs((x - center + 0.5) / support)));
    const total = raw.reduce((sum, weight) => sum + weight, 0);
    return { first, parts: raw.map((weight) => Math.trunc(0.5 + (weight / total) * PRECISION)) };
  });
}

/** One pass of pillow's resize, along "x" or "y". */
function resample(from, to, plan, along) {
  const step = along === "x" ? 3 : 3 * from.width;
  for (let y = 0; y < to.height; y++) {
    for (let x = 0; x < to.width; x++) {
      const { first, parts } = plan[along === "x" ? x : y];
      const start = along === "x" ? 3 * (y * from.width + first) : 3 * (first * from.width + x);
      for (let channel = 0; channel < 3; channel++) {
        let sum = PRECISION / 2;
        for (let i = 0; i < parts.length; i++) sum += from.data[start + i * step + channel] * parts[i];
        to.data[3 * (y * to.width + x) + channel] = Math.floor(sum / PRECISION); // clamped by its array
      }
    }
  }
  return to;
}

/** pillow's resize(..., BILINEAR, reducing_gap=3.0). */
function resize(image, width, height) {
  if (image.width === width && image.height === height) return image;
  const across = Math.max(1, Math.floor(image.width / width / 3));
  const down = Math.max(1, Math.floor(image.height / height / 3));
  const rows = (row) => image.data.subarray(3 * image.width * row, 3 * image.width * (row + 1));
  const small = across * down > 1 ? means({ ...image, channels: 3, rows }, across, down, [0, 0]) : image;
  const wide = weights(small.width, Math.fround(image.width / across), width); // pillow's box is of single precision
  const high = weights(small.height, Math.fround(image.height / down), height);
  const lower = small.height - height;
  if (lower > 0 && lower > 2 * (small.width - width)) { // as pillow chooses; each pass rounds
    const scaledDown = resample(small, newImage(small.width, height), high, "y");
    return resample(scaledDown, newImage(width, height), wide, "x");
  }
  const scaledAcross = resample(small, newImage(width, small.height), wide, "x");
  return resample(scaledAcross, newImage(width, height), high, "y");
}

/** As Python rounds: halves to the even number. */
function round(value) {
  const below = Math.floor(value);
  return value - below === 0.5 ? below + (below % 2) : Math.round(value);
}

/** The square of a photo: its pixels (3, size, size), and what part of it the photo fills across and down. */
export async function square(file, size) {
  const image = await decode(file, size);
  const longest = Math.max(image.width, image.height);
  const [width, height] = [image.width, image.height].map((side) => Math.max(1, round((side * size) / longest)));
  const scaled = resize(image, width, height);
  const [left, top] = [width, height].map((side) => Math.floor((size - side) / 2));
  const pixels = new Uint8Array(3 * size * size);
  for (let channel = 0; channel < 3; channel++) {
    for (let y = 0; y < size; y++) {
      const v = Math.min(height - 1, Math.max(0, y - top));
      for (let x = 0; x < size; x++) {
        const u = Math.min(width - 1, Math.max(0, x - left));
        pixels[(channel * size + y) * size + x] = scaled.data[3 * (v * width + u) + channel];
      }
    }
  }
  return { pixels, extent: [image.width / longest, image.height / longest] };
}

/** Which of `places` x `places` lie along the edges of a photo that fills this part of its square; as doubts.py. */
export function edge([across, down], places) {
  const [left, top] = [across, down].map((part) => Math.min(round((places * (1 - part)) / 2), places / 2 - 1));
  const [right, bottom] = [places - 1 - left, places - 1 - top];
  return Uint8Array.from({ length: places * places }, (_, i) => {
    const [y, x] = [Math.floor(i / places), i % places];
    const inside = x >= left && x <= right && y >= top && y <= bottom;
    return Number(inside && (x === left || x === right || y === top || y === bottom));
  });
}
