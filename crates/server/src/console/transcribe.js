// A conversation: who says what when, in words to click on.

import * as api from './api.js';
import { picker } from './audio.js';
import { clock, during, el } from './dom.js';

/** `rule: pattern` per line, or a rule in words. */
function policy(text) {
  return text.split('\n').map((line) => line.trim()).filter(Boolean).map((line) => {
    const [rule, ...pattern] = line.split(':');
    return pattern.length ? { rule: rule.trim(), pattern: pattern.join(':').trim() } : { rule };
  });
}

/** All sentences of the document, in order of time. */
function sentences(document) {
  const all = document.transcripts.flatMap((transcript) => transcript.speakers.flatMap((speaker) => speaker.sentences.map((sentence) => ({
    ...sentence, channel_id: transcript.channel_id, speaker_id: speaker.speaker_id, name: speaker.speaker_name ?? sentence.speaker_name,
  }))));
  return all.sort((a, b) => a.start_time - b.start_time);
}

function download(name, type, content) {
  const link = el('a', { href: URL.createObjectURL(new Blob([content], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function stamp(ms) {
  const pad = (value, length) => String(Math.floor(value)).padStart(length, '0');
  return `${pad(ms / 3600000, 2)}:${pad((ms / 60000) % 60, 2)}:${pad((ms / 1000) % 60, 2)},${pad(ms % 1000, 3)}`;
}

export function transcribe() {
  const errors = el('p', { class: 'error', role: 'alert' });
  const told = el('p', { class: 'hint', role: 'status' });
  const result = el('div');
  const recording = picker('Conversation');
  const language = el('input', { size: '6', placeholder: 'auto', autocomplete: 'off' });
  const count = el('input', { type: 'number', min: '1', max: '100', placeholder: 'auto' });
  const rules = el('textarea', { placeholder: 'A rule per line, with a pattern: insult: idiot|stupid' });
  const start = el('button', {}, 'Transcribe');
  const stop = el('button', { type: 'button', class: 'quiet', hidden: true }, 'Cancel');
  let cancelled = null;
  stop.addEventListener('click', () => cancelled?.abort());

  async function work() {
    if (!recording.value()) throw Object.assign(new Error('Choose or record a recording first.'), { status: 0 });
    cancelled = new AbortController();
    stop.hidden = false;
    result.replaceChildren();
    const audio = { audio: recording.value() };
    const common = count.value ? { speaker_count: Number(count.value) } : {};
    const options = { told: (text) => { told.textContent = text; }, signal: cancelled.signal };
    try {
      const turns = await api.job('audio/diarize', audio, { ...common, identify: true }, options);
      const words = { ...common, output_type: 'json', word_timestamps: true, model_name: 'fun-asr' };
      if (language.value.trim()) words.lang = language.value.trim();
      const said = await api.job('bailian/funasr/asr', audio, words, { ...options, urls: { audio: 'source_url' } });
      let findings = [];
      const asked = policy(rules.value);
      if (asked.length) {
        try {
          findings = (await api.job('audio/inspect', audio, { ...common, policy: asked, ...(words.lang && { lang: words.lang }) }, options)).result;
        } catch (error) {
          errors.textContent = `The inspection: ${error.message}`;
        }
      }
      const model = said.model.asked === said.model.used ? said.model.used : `${said.model.used} (for ${said.model.asked})`;
      told.textContent = [`Model: ${model}.`, ...(said.warnings ?? [])].join(' ');
      result.replaceChildren(...page(said.result, turns.result, findings.filter((finding) => finding.violated !== false)));
    } finally {
      stop.hidden = true;
    }
  }

  function page(document, turns, findings) {
    const names = new Map(turns.filter((turn) => turn.name).map((turn) => [turn.speaker_id, turn.name]));
    const who = (id, name) => name ?? names.get(id) ?? `Speaker ${id + 1}`;
    const all = sentences(document);
    const { wave, player } = recording;
    wave.turns = turns;
    wave.marks = findings.filter((finding) => finding.start_time !== null && finding.start_time !== undefined);
    if (!wave.duration) wave.duration = document.properties.original_duration_in_milliseconds;
    wave.canvas.hidden = false;
    wave.canvas.classList.add('seekable');
    wave.canvas.setAttribute('aria-label', `Outline of the recording, ${new Set(turns.map((turn) => turn.speaker_id)).size} speakers in ${turns.length} turns`);
    wave.draw();
    const play = (ms) => {
      if (!player.src) return;
      player.currentTime = ms / 1000;
      player.play();
    };
    wave.canvas.onclick = (event) => play((event.offsetX / wave.canvas.clientWidth) * wave.duration);
    const spans = [];
    const word = ({ start_time, end_time, text }) => {
      const span = el('span', { class: 'word', onclick: () => play(start_time) }, `${text} `);
      spans.push({ span, start_time, end_time });
      return span;
    };
    player.ontimeupdate = () => {
      const now = 1000 * player.currentTime;
      wave.position = now;
      wave.draw();
      for (const { span, start_time, end_time } of spans) span.classList.toggle('now', !player.paused && start_time <= now && now < end_time);
    };
    const marked = (sentence) => findings.filter((finding) => (finding.sentence_id !== null && finding.sentence_id !== undefined
      ? finding.sentence_id === sentence.sentence_id : finding.start_time < sentence.end_time && finding.end_time > sentence.start_time));
    const list = el('ol', { class: 'said', 'aria-label': 'Transcript' }, ...all.map((sentence) => el('li', { class: marked(sentence).length ? 'found' : null },
      el('button', { class: 'quiet at', type: 'button', 'aria-label': `Play from ${clock(sentence.start_time)}`, onclick: () => play(sentence.start_time) }, clock(sentence.start_time)),
      el('span', { class: `who c${sentence.speaker_id % 8}` }, who(sentence.speaker_id, sentence.name)),
      el('span', { class: 'text' }, ...(sentence.words?.length ? sentence.words.map(word) : [word(sentence)])))));
    const text = () => all.map((sentence) => `${clock(sentence.start_time)} ${who(sentence.speaker_id, sentence.name)}: ${sentence.text}`).join('\n');
    const srt = () => all.map((sentence, i) => `${i + 1}\n${stamp(sentence.start_time)} --> ${stamp(sentence.end_time)}\n${who(sentence.speaker_id, sentence.name)}: ${sentence.text}\n`).join('\n');
    const json = () => JSON.stringify({ ...document, speakers: Object.fromEntries(names), turns, findings }, null, 2);
    const save = (label, name, type, content) => el('button', { type: 'button', class: 'quiet', onclick: () => download(name, type, content()) }, label);
    return [
      findings.length ? el('div', {}, el('h3', {}, 'Findings'), el('ul', { class: 'findings' }, ...findings.map((finding) => el('li', {},
        el('span', { class: 'bad' }, finding.rule), ` at ${clock(finding.start_time ?? 0)}: “${finding.quote ?? ''}” ${finding.reason ?? ''}`)))) : null,
      el('h3', {}, 'Transcript'),
      el('div', { class: 'row' }, save('Text', 'transcript.txt', 'text/plain', text), save('SRT', 'transcript.srt', 'application/x-subrip', srt), save('JSON', 'transcript.json', 'application/json', json)),
      all.length ? list : el('p', {}, 'Nobody speaks in it.'),
    ].filter(Boolean);
  }

  const form = el('form', {
    onsubmit: (event) => {
      event.preventDefault();
      during(start, errors, work);
    },
  }, recording.box, el('div', { class: 'row' }, el('label', {}, 'Language', language), el('label', {}, 'Speakers', count)),
  el('details', {}, el('summary', {}, 'Inspect what is said'), el('label', {}, 'Rules', rules)),
  el('p', { class: 'row' }, start, stop), told, errors);
  return [el('h2', {}, 'Transcribe a conversation'), form, result];
}
