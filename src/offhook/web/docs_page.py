"""The page at `/docs`: the OpenAPI document made readable, without anything from elsewhere."""

DOCS_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Offhook API</title>
<style>
  :root { color-scheme: light dark; --line: #8884; --dim: #888; --accent: #2563eb; }
  body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1.5rem; }
  h1 { margin: 0; } h2 { margin: 2.5rem 0 .5rem; text-transform: capitalize; }
  p { margin: .4rem 0; } code, pre { font-family: ui-monospace, monospace; font-size: .875rem; }
  pre { overflow-x: auto; padding: .75rem; border: 1px solid var(--line); border-radius: .5rem; }
  details { border: 1px solid var(--line); border-radius: .5rem; margin: .5rem 0; padding: .4rem .75rem; }
  summary { cursor: pointer; display: flex; gap: .75rem; align-items: baseline; flex-wrap: wrap; }
  summary b { min-width: 4.2rem; color: var(--accent); } .dim { color: var(--dim); }
  table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .25rem .5rem .25rem 0;
  border-bottom: 1px solid var(--line); vertical-align: top; }
</style>
<h1>Offhook API</h1>
<p>Send a token from <code>POST /auth/login</code> or an access key as <code>Authorization: Bearer …</code>, or as
<code>?token=…</code>. The same as a document: <a href="/openapi.json">openapi.json</a>.</p>
<main id="api" class="dim">Reading the document …</main>
<script type="module">
const page = document.getElementById("api");
const make = (tag, text, kind) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (kind) element.className = kind;
  return element;
};
let spec;
const follow = (schema) => schema?.$ref ? spec.components.schemas[schema.$ref.split("/").pop()] : schema;
const typeOf = (schema) => {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices) return choices.map(typeOf).join(" or ");
  if (schema.type === "array") return `list of ${typeOf(schema.items)}`;
  return [schema.type].flat().join(" or ") + (schema.enum ? `: ${schema.enum.join(", ")}` : "");
};
const table = (rows) => {
  const element = make("table");
  for (const row of rows) {
    const line = element.insertRow();
    row.forEach((text, column) => line.insertCell().append(make(column ? "span" : "code", text)));
  }
  return element;
};
const fields = (schema) => Object.entries(follow(schema)?.properties ?? {}).map(([name, value]) =>
  [name, typeOf(value), (follow(schema).required ?? []).includes(name) ? "required" : ""]);
const body = (title, content) => {
  const schema = content?.["application/json"]?.schema;
  const parts = (schema?.oneOf ?? [schema]).filter(Boolean);
  return parts.flatMap((part) => {
    const rows = fields(part);
    return [make("p", `${title}: ${typeOf(part)}`, "dim"), ...(rows.length ? [table(rows)] : [])];
  });
};
const operation = (method, path, value) => {
  const box = make("details");
  const head = make("summary");
  head.append(make("b", method.toUpperCase()), make("code", path), make("span", value.summary ?? "", "dim"));
  box.append(head, make("p", value.description ?? ""));
  const parameters = (value.parameters ?? []).map(
    (p) => [p.name, `${p.in}: ${typeOf(p.schema)}`, p.required ? "required" : ""]);
  if (parameters.length) box.append(table(parameters));
  box.append(...body("Body", value.requestBody?.content));
  for (const [status, answer] of Object.entries(value.responses ?? {}))
    if (status < "300") box.append(...body(`Answer ${status}`, answer.content));
  return box;
};
try {
  spec = await (await fetch("/openapi.json")).json();
  const groups = new Map();
  for (const [path, methods] of Object.entries(spec.paths))
    for (const [method, value] of Object.entries(methods)) {
      const tag = value.tags?.[0] ?? "other";
      groups.set(tag, [...(groups.get(tag) ?? []), operation(method, path, value)]);
    }
  page.replaceChildren(...[...groups].flatMap(([tag, boxes]) => [make("h2", tag), ...boxes]));
  page.className = "";
} catch (error) {
  page.textContent = `The document could not be read (${error}). Reload the page, or open /openapi.json.`;
}
</script>
</html>
"""
