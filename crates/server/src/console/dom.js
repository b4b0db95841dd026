// Elements without a framework. Texts are always texts, never markup.

/** `el('p', { class: 'hint', onclick: f }, 'text', child)`. */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name in element && typeof value !== 'string') element[name] = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Nothing is certain, so nothing is 100 %. */
export function percent(probability) {
  if (probability === null || probability === undefined) return '–';
  if (probability > 0.999) return '> 99.9 %';
  return probability < 0.001 ? '< 0.1 %' : `${(100 * probability).toFixed(1)} %`;
}
export const seconds = (value) => (value === null || value === undefined ? '–' : `${value.toFixed(1)} s`);

/** 75,300 ms as 1:15. */
export function clock(ms) {
  const whole = Math.floor(ms / 1000);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}

export function bar(probability) {
  const inner = el('div');
  inner.style.width = `${100 * (probability ?? 0)}%`;
  return el('div', { class: 'bar', 'aria-hidden': 'true' }, inner);
}

/** Runs `work` with the button off; what goes wrong is told in `errors`. */
export async function during(button, errors, work) {
  button.disabled = true;
  errors.textContent = '';
  try {
    await work();
  } catch (error) {
    errors.textContent = error.message;
    if (!('status' in error)) console.error(error);
  } finally {
    button.disabled = false;
  }
}
