/** Runs where a sandbox stands: several requests on one connection of HTTP/2, told as one line of JSON. */
import { readFileSync } from 'node:fs';
import { connect } from 'node:http2';

const [url, trust, asked] = process.argv.slice(2);
const session = connect(url, { ca: readFileSync(trust) });
session.on('error', () => {});

/** With `messages`, each is sent only when the one before has come back: a stream both ways. */
function ask({ headers, messages = [] }) {
  return new Promise((resolve) => {
    const seen = { status: 0, headers: {}, trailers: {}, body: '', error: '' };
    const stream = session.request(headers, { endStream: messages.length === 0 });
    const left = [...messages];
    const next = () => (left.length > 0 ? stream.write(left.shift()) : stream.end());
    stream.setEncoding('utf8');
    stream.on('response', (head) => {
      Object.assign(seen, { status: head[':status'], headers: head });
    });
    stream.on('trailers', (trailers) => Object.assign(seen, { trailers }));
    stream.on('data', (text) => {
      seen.body += text;
      if (messages.length > 0) next();
    });
    stream.once('end', () => stream.end()); // an error leaves nothing to be said
    stream.on('error', (error) => Object.assign(seen, { error: error.code }));
    stream.once('close', () => resolve(seen));
    if (messages.length > 0) next();
  });
}

const answers = [];
for (const request of JSON.parse(asked)) answers.push(await ask(request));
process.stdout.write(`${JSON.stringify(answers)}\n`);
session.destroy();
