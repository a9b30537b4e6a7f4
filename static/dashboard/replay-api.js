// The replay API as functions; a refusal becomes an Error that says what is wrong, field by field.

const csrfToken = () => document.getElementById("csrf").value;

function refusal(json, status) {
  const fields = Object.entries(json.error?.fields ?? {}).map(([name, why]) => `${name} ${[why].flat().join(", ")}`);
  return new Error(fields.length ? fields.join("; ") : (json.error?.message ?? `the server answered ${status}`));
}

async function ask(method, path, body, headers = {}) {
  const answer = await fetch(`/api/replay/${path}`, {
    method,
    headers: { Accept: "application/json", ...(method === "GET" ? {} : { "X-CSRFToken": csrfToken() }), ...headers },
    body,
  });
  const json = await answer.json().catch(() => ({}));
  if (!answer.ok) throw refusal(json, answer.status);
  return json;
}

export const get = (path) => ask("GET", path);
export const remove = (path) => ask("DELETE", path);
export const post = (path, body) => ask("POST", path, JSON.stringify(body), { "Content-Type": "application/json" });
export const upload = (path, file) => ask("POST", path, file, { "Content-Type": "application/octet-stream" });
