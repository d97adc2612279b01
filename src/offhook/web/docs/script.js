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
// A line that can be pasted into a shell, once the token is filled in.
const curl = (method, path, value) => {
  const json = value.requestBody?.content?.["application/json"];
  const isOpen = (value.security ?? []).some((one) => Object.keys(one).length === 0);
  const parts = [`curl -X ${method.toUpperCase()} '${location.origin}${path}'`];
  if (!isOpen) parts.push(`-H 'Authorization: Bearer YOUR_ACCESS_KEY'`);
  if (json) parts.push(`-H 'Content-Type: application/json'`, `-d '${JSON.stringify(json.example ?? {}, null, 2)}'`);
  return parts.join(" \\\n  ");
};
const operation = (method, path, value) => {
  const box = make("details");
  const head = make("summary");
  head.append(make("b", method.toUpperCase()), make("code", path), make("span", value.summary ?? "", "dim"));
  box.append(head, make("p", value.description ?? ""), make("pre", curl(method, path, value)));
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
