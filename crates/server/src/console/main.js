// The console: which view is shown, and the key.

import * as api from './api.js';
import { compare, enrol, search } from './voices.js';
import { transcribe } from './transcribe.js';
import { map } from './map.js';
import { reference } from './reference.js';

const views = { enrol, search, compare, transcribe, map, api: reference };
const [login, view, forget] = ['login', 'view', 'forget'].map((id) => document.getElementById(id));
const keyError = document.getElementById('key-error');

function show() {
  const name = location.hash.slice(1) in views ? location.hash.slice(1) : 'enrol';
  for (const link of document.querySelectorAll('nav a')) {
    if (link.hash === `#${name}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  // The description of the service is for everybody.
  const open = api.key() !== null || name === 'api';
  login.hidden = open;
  view.hidden = !open;
  forget.hidden = api.key() === null;
  view.replaceChildren(...(open ? views[name]() : []));
  document.title = `${document.querySelector('nav a[aria-current]').textContent} · ai_audio`;
}

document.getElementById('key-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const input = document.getElementById('key');
  keyError.textContent = '';
  api.remember(input.value.trim());
  try {
    await api.get('voice/query?limit=1');
  } catch (error) {
    // A key without rights on the library is a key.
    if (error.status === 401 || error.status === 0) {
      api.forget();
      keyError.textContent = error.message;
      input.select();
      return;
    }
  }
  input.value = '';
  show();
  document.getElementById('content').focus();
});

document.addEventListener('no-key', (event) => {
  api.forget();
  show();
  keyError.textContent = event.detail;
});

forget.addEventListener('click', () => {
  api.forget();
  show();
});
addEventListener('hashchange', show);
show();
