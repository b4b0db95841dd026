// The description of the service, read from openapi.json.

import { el } from './dom.js';

export function reference() {
  const body = el('div', {}, el('p', { class: 'hint', role: 'status' }, 'Loading…'));
  fetch('openapi.json').then((response) => response.json()).then((document) => body.replaceChildren(...page(document)), () => {
    body.replaceChildren(el('p', { class: 'error', role: 'alert' }, 'The service does not answer.'));
  });
  return [el('h2', {}, 'API'), body];
}

function page(document) {
  const resolve = (schema) => (schema?.$ref ? document.components.schemas[schema.$ref.split('/').pop()] : schema) ?? {};
  const type = (schema) => {
    if (schema.$ref || schema.oneOf || schema.anyOf) {
      const variants = resolve(schema).oneOf ?? resolve(schema).anyOf ?? [resolve(schema)];
      return [...new Set(variants.map(resolve).filter((one) => one.type !== 'null').map((one) => (one.enum ? one.enum.join(' | ') : type(one))))].join(' | ');
    }
    const kinds = [schema.type ?? 'any'].flat().filter((kind) => kind !== 'null');
    return schema.enum ? schema.enum.join(' | ') : kinds.map((kind) => (kind === 'array' ? `list of ${type(resolve(schema.items))}` : kind)).join(' | ');
  };
  const table = (rows) => el('table', {}, el('thead', {}, el('tr', {}, ...['Parameter', 'Type', 'Meaning'].map((name) => el('th', { scope: 'col' }, name)))),
    el('tbody', {}, ...rows.map(([name, required, schema, description]) => el('tr', {},
      el('td', {}, el('code', {}, name), required ? ' *' : ''), el('td', {}, type(schema)), el('td', {}, description ?? '')))));
  const operation = (path, method, { summary, description, parameters = [], requestBody, responses }) => {
    const schema = resolve(requestBody?.content['application/json']?.schema);
    const rows = [
      ...parameters.map((parameter) => [`${parameter.name} (${parameter.in})`, parameter.required, parameter.schema ?? {}, parameter.description]),
      ...Object.entries(schema.properties ?? {}).map(([name, property]) => [name, schema.required?.includes(name), property, property.description]),
    ];
    return el('details', {}, el('summary', {}, el('code', {}, `${method.toUpperCase()} ${path}`), ` ${summary ?? description ?? ''}`),
      rows.length ? table(rows) : null,
      requestBody ? el('p', { class: 'hint' }, `Body: ${Object.keys(requestBody.content).join(', ')}`) : null,
      el('p', { class: 'hint' }, `Answers: ${Object.keys(responses).join(', ')}`));
  };
  const operations = Object.entries(document.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, description]) => operation(path, method, description)));
  return [el('p', {}, document.info.description),
    el('pre', {}, `curl -X POST ${location.origin}/voice/search \\\n  -H "Authorization: Bearer {api-key}" \\\n  -H "Content-Type: audio/wav" --data-binary @recording.wav`),
    el('p', {}, el('a', { href: 'openapi.json' }, 'openapi.json')), ...operations];
}
