// Enrol, search, compare.

import * as api from './api.js';
import { picker } from './audio.js';
import { bar, during, el, percent, seconds } from './dom.js';

const alert = () => el('p', { class: 'error', role: 'alert' });
const unguessable = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');

/** What ai_audio_quality says, in words. */
function verdict(quality) {
  const fit = quality.fit_to_enrol;
  return el('div', { class: `verdict ${fit ? 'fit' : 'unfit'}`, role: 'status' },
    el('span', { class: fit ? 'good' : 'bad' }, fit ? 'Fit to enrol' : `Not fit to enrol: ${quality.reason ?? 'too poor'}`),
    el('dl', {},
      el('dt', {}, 'Speech'), el('dd', {}, `${seconds(quality.speech_seconds)} of ${seconds(quality.duration_seconds)}`),
      el('dt', {}, 'Above noise'), el('dd', {}, quality.snr_db === null ? '–' : `${quality.snr_db.toFixed(0)} dB`),
      el('dt', {}, 'Clipped'), el('dd', {}, `${(100 * quality.clipping).toFixed(2)} %`),
      el('dt', {}, 'Bandwidth'), el('dd', {}, quality.bandwidth_hz === null ? '–' : `${quality.bandwidth_hz} Hz`)));
}

export function enrol() {
  const errors = alert();
  const said = el('div');
  const name = el('input', { required: true, maxlength: '200', autocomplete: 'off' });
  const location = el('input', { autocomplete: 'off', placeholder: 'optional' });
  const anyway = el('input', { type: 'checkbox', onchange: ready });
  const despite = el('label', { class: 'inline', hidden: true }, anyway, 'Save it although it is not fit');
  const save = el('button', { disabled: true }, 'Save');
  let quality = null;
  let once = unguessable();

  function ready() {
    despite.hidden = !quality || quality.fit_to_enrol;
    save.disabled = !quality || (!quality.fit_to_enrol && !anyway.checked);
  }
  async function listen(recording) {
    quality = null;
    anyway.checked = false;
    once = unguessable();
    ready();
    said.replaceChildren(el('p', { class: 'hint', role: 'status' }, 'Listening…'));
    try {
      quality = (await api.postAudio('audio/quality', { audio: recording })).result;
      said.replaceChildren(verdict(quality));
    } catch (error) {
      said.replaceChildren();
      errors.textContent = error.message;
    }
    ready();
  }
  const recording = picker('Recording', (value) => {
    errors.textContent = '';
    listen(value);
  });
  const form = el('form', {
    onsubmit: async (event) => {
      event.preventDefault();
      await during(save, errors, async () => {
        const parameters = { name: name.value, ids: 'string' };
        if (location.value) parameters.location = location.value;
        const { result } = await api.postAudio('voice/enroll', { audio: recording.value() }, parameters, {}, { 'Idempotency-Key': once });
        said.replaceChildren(el('p', { class: 'good', role: 'status' }, `${result.name} is enrolled, id ${result.id}.`));
        quality = null;
      });
      ready();
    },
  }, recording.box, said, el('div', { class: 'row' }, el('label', {}, 'Name', name), el('label', {}, 'Location', location)), despite, el('p', {}, save), errors);
  return [el('h2', {}, 'Enrol a voice'), el('p', { class: 'hint' }, 'Eight seconds of one person speaking, on the channel that will be used, make a good voiceprint.'), form];
}

export function search() {
  const errors = alert();
  const hits = el('ol', { class: 'hits', 'aria-label': 'Hits' });
  const told = el('p', { class: 'hint', role: 'status' });
  const most = el('input', { type: 'number', min: '1', max: '100', value: '5' });
  const names = el('input', { placeholder: 'all', autocomplete: 'off' });
  const recording = picker('Who is this?');
  const find = el('button', {}, 'Search');
  const form = el('form', {
    onsubmit: (event) => {
      event.preventDefault();
      during(find, errors, async () => {
        if (!recording.value()) throw Object.assign(new Error('Choose or record a recording first.'), { status: 0 });
        const parameters = { top_k: Number(most.value), ids: 'string' };
        if (names.value.trim()) parameters.names = names.value.split(',').map((one) => one.trim());
        if (recording.value().file && parameters.names) parameters.names = parameters.names.join(',');
        const { result, quality, warnings = [] } = await api.postAudio('voice/search', { audio: recording.value() }, parameters);
        told.textContent = [`${seconds(quality.speech_seconds)} of speech heard.`, ...warnings, result.length ? '' : 'The library has no such voices.'].join(' ');
        hits.replaceChildren(...result.map((hit) => el('li', {},
          el('span', { class: 'who' }, hit.name), bar(hit.probability), el('span', {}, percent(hit.probability)),
          el('span', { class: 'more' }, `similarity ${hit.similarity?.toFixed(3)} · id ${hit.id}${hit.location ? ` · ${hit.location}` : ''}`))));
      });
    },
  }, recording.box, el('div', { class: 'row' }, el('label', {}, 'Hits', most), el('label', {}, 'Only these names, separated by commas', names), find), errors);
  return [el('h2', {}, 'Search the library'), form, told, hits,
    el('p', { class: 'hint' }, 'The percentage is the probability that both are of one speaker, if that was as likely as not before hearing them. It takes into account how much speech there is.')];
}

export function compare() {
  const errors = alert();
  const said = el('div', { role: 'status' });
  const [a, b] = [picker('One'), picker('The other')];
  const ask = el('button', {}, 'Compare');
  const form = el('form', {
    onsubmit: (event) => {
      event.preventDefault();
      during(ask, errors, async () => {
        said.replaceChildren();
        if (!a.value() || !b.value()) throw Object.assign(new Error('Two recordings are needed.'), { status: 0 });
        const recordings = { audio: a.value(), other: b.value() };
        const { result } = await api.postAudio('voice/verify', recordings, {}, { other: 'other_url' });
        said.replaceChildren(el('div', { class: `verdict ${result.same_speaker ? 'fit' : 'unfit'}` },
          el('span', { class: result.same_speaker ? 'good' : 'bad' }, result.same_speaker ? 'The same speaker' : 'Different speakers'),
          bar(result.probability),
          el('p', {}, `${percent(result.probability)} probable that both are of one speaker. Similarity ${result.similarity?.toFixed(3)}; with this much speech, one half is at ${result.threshold.toFixed(3)}.`)));
      });
    },
  }, el('div', { class: 'two' }, a.box, b.box), ask, errors);
  return [el('h2', {}, 'Compare two recordings'), form, said];
}

