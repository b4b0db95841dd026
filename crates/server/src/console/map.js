// Voices as a map: near ones sound alike; a colour is a group.

import * as api from './api.js';
import { el } from './dom.js';

const SVG = 'http://www.w3.org/2000/svg';
function draw(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function map() {
  const body = el('div', {}, el('p', { class: 'hint', role: 'status' }, 'Measuring…'));
  api.post('voice/map', { ids: 'string' }).then(({ result }) => body.replaceChildren(...page(result)), (error) => {
    body.replaceChildren(el('p', { class: 'error', role: 'alert' }, error.message));
  });
  return [el('h2', {}, 'The library as a map'), body];
}

function page(voices) {
  if (!voices.length) return [el('p', {}, 'The library is empty.')];
  const groups = Map.groupBy ? Map.groupBy(voices, (voice) => voice.group) : voices.reduce((all, voice) => all.set(voice.group, [...(all.get(voice.group) ?? []), voice]), new Map());
  const colour = (voice) => (groups.get(voice.group).length > 1 ? `c${voice.group % 8}` : 'alone');
  const [width, height, edge] = [640, 420, 24];
  const [xs, ys] = [voices.map((voice) => voice.x), voices.map((voice) => voice.y)];
  const scale = (values, size) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return (value) => edge + (high > low ? (value - low) / (high - low) : 0.5) * (size - 2 * edge);
  };
  const [x, y] = [scale(xs, width), scale(ys, height)];
  const picture = draw('svg', { class: 'map', viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': `Map of ${voices.length} voices in ${groups.size} groups` });
  for (const voice of voices) {
    const dot = draw('circle', { cx: x(voice.x), cy: y(voice.y), r: 7, class: colour(voice) });
    dot.append(draw('title', {}, `${voice.name}, id ${voice.id}`));
    picture.append(dot);
  }
  if (voices.length <= 40) for (const voice of voices) picture.append(draw('text', { x: x(voice.x) + 10, y: y(voice.y) + 4 }, voice.name));
  const several = [...groups.values()].filter((group) => group.length > 1);
  const alone = [...groups.values()].filter((group) => group.length === 1).flat();
  const list = (group) => group.map((voice) => `${voice.name} (${voice.id})`).join(', ');
  const differ = (group) => new Set(group.map((voice) => voice.name)).size > 1;
  return [picture,
    el('p', { class: 'hint' }, 'Voiceprints on their two main axes (PCA). Colours are groups of one speaker; grey stands alone. Point at a dot for its name and id.'),
    el('h3', {}, 'Groups of one speaker'),
    several.length ? el('ul', {}, ...several.map((group) => el('li', {}, el('span', { class: `who ${colour(group[0])}` }, '● '), list(group),
      differ(group) ? el('span', { class: 'bad' }, ' – one speaker under several names') : null))) : el('p', {}, 'None: every voice stands alone.'),
    el('h3', {}, 'Alone'), el('p', {}, alone.length ? list(alone) : 'None.')];
}
