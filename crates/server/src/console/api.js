// The service: requests with the key of this tab, and jobs.

const KEY = 'ai_audio key';

export const key = () => sessionStorage.getItem(KEY);
export const remember = (value) => sessionStorage.setItem(KEY, value);
export const forget = () => sessionStorage.removeItem(KEY);

/** A refusal, in the service's own words. */
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function send(method, path, body, headers = {}) {
  let response;
  try {
    response = await fetch(path, { method, body, headers: { Authorization: `Bearer ${key()}`, ...headers }, cache: 'no-store' });
  } catch {
    throw new Refusal(0, 'The service does not answer.');
  }
  const answer = await response.json().catch(() => ({ message: response.statusText }));
  if (response.ok) return answer;
  if (response.status === 401) document.dispatchEvent(new CustomEvent('no-key', { detail: answer.message }));
  throw new Refusal(response.status, answer.message);
}

export const get = (path) => send('GET', path);
export const remove = (path) => send('DELETE', path);
export const post = (path, parameters) => send('POST', path, JSON.stringify(parameters), { 'Content-Type': 'application/json' });

/** Posts recordings, by part name: `{ audio: { file } }` or `{ audio: { url } }`, and parameters. */
export function postAudio(path, recordings, parameters = {}, urls = {}, headers = {}) {
  const all = { ...parameters };
  const uploads = [];
  for (const [part, { file, url }] of Object.entries(recordings)) {
    if (file) uploads.push([part, file]);
    else all[urls[part] ?? 'audio_url'] = url;
  }
  if (!uploads.length) return send('POST', path, JSON.stringify(all), { 'Content-Type': 'application/json', ...headers });
  const form = new FormData();
  for (const [name, value] of Object.entries(all)) form.append(name, typeof value === 'string' ? value : JSON.stringify(value));
  for (const [part, file] of uploads) form.append(part, file, file.name ?? 'recording');
  return send('POST', path, form, headers);
}

/** Does the work as a job and waits for it; `told` hears how far it is. `signal` cancels it. */
export async function job(path, recordings, parameters, { urls, told, signal }) {
  const { result: { id } } = await postAudio(path, recordings, { ...parameters, async: true }, urls);
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 400));
    if (signal.aborted) {
      await remove(`jobs/${id}`).catch(() => {});
      throw new Refusal(0, 'Cancelled.');
    }
    const { result } = await get(`jobs/${id}`);
    told(result.progress ?? (result.state === 'waiting' ? 'waiting for its turn' : 'working'));
    if (result.state === 'done') return result.answer;
    if (result.state === 'failed') throw new Refusal(result.answer?.code, result.answer?.message ?? 'It failed.');
  }
}
