/** Says in a line what a JSON schema takes. */

export interface JsonSchema {
  readonly type?: string;
  readonly description?: string;
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly maxLength?: number;
  readonly maxProperties?: number;
  readonly items?: JsonSchema;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly patternProperties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly oneOf?: readonly { readonly required: readonly string[] }[];
}

/** One row a field: name (with the names around it), type, description. */
export function fieldRows(schema: JsonSchema, before = ''): string[][] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const mark = schema.required?.includes(name) === true ? '' : ' ?';
    const row = [`\`${before}${name}\`${mark}`, typeOf(field), field.description ?? ''];
    const inner = field.type === 'array' ? field.items : field;
    const path = `${before}${name}${field.type === 'array' ? '[]' : ''}.`;
    return [row, ...(inner === undefined ? [] : fieldRows(inner, path))];
  });
}

/** `integer 1–100`, `text, at most 64 characters`, `list of text`. */
export function typeOf(schema: JsonSchema): string {
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${value}\``).join(', ');
  const { type, items } = schema;
  if (type === 'array')
    return `list of ${items === undefined ? 'anything' : typeOf(items)}${count(schema.maxItems)}`;
  if (schema.patternProperties !== undefined) return `names with text${count(schema.maxProperties)}`;
  if (type === 'string') return text(schema);
  if (type === 'integer' || type === 'number') return `${type}${range(schema)}`;
  return type ?? 'anything';
}

function count(most: number | undefined): string {
  return most === undefined ? '' : `, at most ${most}`;
}

function text({ pattern, maxLength }: JsonSchema): string {
  const most = maxLength === undefined ? '' : `, at most ${maxLength.toLocaleString('en-US')} characters`;
  return `text${pattern === undefined ? '' : ` \`${pattern}\``}${most}`;
}

function range({ minimum, maximum }: JsonSchema): string {
  if (minimum === undefined && maximum === undefined) return '';
  if (maximum === undefined) return ` from ${minimum}`;
  return ` ${minimum?.toLocaleString('en-US')}–${maximum.toLocaleString('en-US')}`;
}
