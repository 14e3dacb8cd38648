// Drives the unmodified alipay-sdk: one JSON job on stdin, one JSON list of results on stdout.
import { text } from 'node:stream/consumers';

import { AlipayFormData, AlipaySdk } from 'alipay-sdk';

const job = JSON.parse(await text(process.stdin));
const sdk = new AlipaySdk(job.config);

function formOf(call) {
  const form = new AlipayFormData();
  for (const [name, value] of Object.entries(call.fields ?? {})) {
    form.addField(name, value);
  }
  for (const file of call.files) {
    form.addFile(file.field, file.name, Buffer.from(file.content));
  }
  return form;
}

const actions = {
  exec: (call) => sdk.exec(call.method, call.params, { validateSign: call.validateSign ?? true }),
  upload: (call) => sdk.exec(call.method, {}, { formData: formOf(call), validateSign: true }),
  sdkExecute: (call) => sdk.sdkExecute(call.method, call.params),
  pageExecute: (call) => sdk.pageExecute(call.method, call.httpMethod, call.params),
  curl: (call) => sdk.curl(call.httpMethod, call.path, call.options),
  curlUpload: (call) => sdk.curl('POST', call.path, { form: formOf(call), body: call.body }),
  checkNotify: (call) => sdk.checkNotifySignV2(call.data),
  serials: () => ({
    app: sdk.config.appCertSn,
    platform: sdk.config.alipayCertSn,
    root: sdk.config.alipayRootCertSn,
  }),
};

const results = [];
for (const call of job.calls) {
  try {
    results.push({ result: await actions[call.action](call) });
  } catch (error) {
    results.push({
      error: { message: error.message, code: error.code, status: error.responseHttpStatus },
    });
  }
}
process.stdout.write(JSON.stringify(results));
