// Recordings: chosen, recorded or named; drawn and played.

import { el } from './dom.js';

/** A recording from a file, the microphone or a URL; `changed` hears of each new one. */
export function picker(legend, changed = () => {}) {
  let value = null;
  let recorder = null;
  const errors = el('p', { class: 'error', role: 'alert' });
  const wave = new Wave();
  const player = el('audio', { controls: true, hidden: true });
  const file = el('input', { type: 'file', accept: 'audio/*,video/*', onchange: () => file.files[0] && take({ file: file.files[0] }) });
  const url = el('input', { type: 'text', inputmode: 'url', placeholder: 'https://… or a path on the server', onchange: () => url.value && take({ url: url.value }) });
  const microphone = el('button', { type: 'button', class: 'quiet', onclick: toggle }, 'Record');
  const box = el('fieldset', {}, el('legend', {}, legend),
    el('div', { class: 'row' }, el('label', {}, 'File', file), microphone, el('label', {}, 'Or its URL', url)), errors, wave.canvas, player);
  wave.canvas.hidden = true;

  async function take(next) {
    value = next;
    errors.textContent = '';
    if (next.file) url.value = '';
    else file.value = '';
    if (player.src) URL.revokeObjectURL(player.src);
    player.hidden = !next.file;
    wave.canvas.hidden = !next.file;
    if (next.file) {
      player.src = URL.createObjectURL(next.file);
      await wave.load(next.file);
    } else {
      player.removeAttribute('src');
    }
    changed(value);
  }

  async function toggle() {
    if (recorder) {
      recorder.stop();
      return;
    }
    errors.textContent = '';
    try {
      if (!navigator.mediaDevices) throw new Error('Browsers give the microphone to pages on https or localhost only.');
      const stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
      const chunks = [];
      recorder = new MediaRecorder(stream, { audioBitsPerSecond: 128000 });
      recorder.ondataavailable = (event) => chunks.push(event.data);
      recorder.onstop = () => {
        stream.getTracks().forEach((track) => track.stop());
        const type = recorder.mimeType.split(';')[0];
        recorder = null;
        microphone.textContent = 'Record';
        microphone.classList.remove('recording');
        file.value = '';
        take({ file: new File(chunks, 'microphone', { type }) });
      };
      recorder.start();
      microphone.textContent = 'Stop';
      microphone.classList.add('recording');
    } catch (error) {
      recorder = null;
      errors.textContent = error.name === 'NotAllowedError' ? 'The microphone was refused.' : error.message;
    }
  }

  return { box, player, wave, value: () => value };
}

/** A recording's outline, with turns of speakers below it. */
export class Wave {
  constructor() {
    this.canvas = el('canvas', { role: 'img', 'aria-label': 'Outline of the recording' });
    this.peaks = [];
    this.duration = 0;
    this.turns = [];
    this.marks = [];
    this.position = 0;
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.draw());
  }

  /** Decodes the file as far as the browser can; one that it cannot read is shown without an outline. */
  async load(file) {
    this.turns = [];
    this.marks = [];
    this.peaks = [];
    this.duration = 0;
    try {
      const context = new OfflineAudioContext(1, 1, 8000);
      const audio = await context.decodeAudioData(await file.arrayBuffer());
      this.duration = 1000 * audio.duration;
      const samples = audio.getChannelData(0);
      const step = Math.max(1, Math.floor(samples.length / 1200));
      for (let at = 0; at < samples.length; at += step) {
        let peak = 0;
        for (let i = at; i < Math.min(at + step, samples.length); i += 1) peak = Math.max(peak, Math.abs(samples[i]));
        this.peaks.push(peak);
      }
    } catch { /* a format that only the server reads */ }
    this.draw();
  }

  draw() {
    const { canvas } = this;
    const ratio = devicePixelRatio || 1;
    const { width, height } = canvas.getBoundingClientRect();
    if (!width) return;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    const pen = canvas.getContext('2d');
    pen.scale(ratio, ratio);
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const speakers = 1 + Math.max(-1, ...this.turns.map((turn) => turn.speaker_id));
    const lane = 7;
    const body = height - speakers * lane - (speakers ? 4 : 0);
    const loudest = Math.max(0.01, ...this.peaks);
    const x = (ms) => (this.duration ? (ms / this.duration) * width : 0);
    for (const { start_time, end_time } of this.marks) {
      pen.fillStyle = colour('--mark');
      pen.fillRect(x(start_time), 0, Math.max(2, x(end_time) - x(start_time)), body);
    }
    pen.fillStyle = colour('--wave');
    const one = width / Math.max(1, this.peaks.length);
    this.peaks.forEach((peak, i) => {
      const tall = Math.max(1, (peak / loudest) * (body - 4));
      pen.fillRect(i * one, (body - tall) / 2, Math.max(0.5, one * 0.8), tall);
    });
    for (const turn of this.turns) {
      pen.fillStyle = colour(`--s${turn.speaker_id % 8}`);
      pen.fillRect(x(turn.start_time), body + 4 + turn.speaker_id * lane, Math.max(2, x(turn.end_time) - x(turn.start_time)), lane - 2);
    }
    if (this.position) {
      pen.fillStyle = colour('--bad');
      pen.fillRect(x(this.position), 0, 2, height);
    }
  }
}
