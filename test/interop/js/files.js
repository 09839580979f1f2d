// Uploads files with the official device SDK, and hears of them with the service SDK.
//
//   node files.js SERVICE_CONNECTION_STRING DEVICE_CONNECTION_STRING
//
// Each line of its output is a step: {"step","value"} or {"step","error"}.
'use strict';
const { Readable } = require('stream');
const { Client } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');
const { NoRetry } = require('azure-iot-common');
const service = require('azure-iothub');
const { AnonymousCredential, BlockBlobClient, newPipeline } = require('@azure/storage-blob');

const said = [];
const say = (line) => { said.push(line); console.log(JSON.stringify(line)); };
const step = async (name, what) => {
  try {
    say({ step: name, value: await what() });
  } catch (err) {
    say({ step: name, error: err.name, text: `${err.message} ${err.innerError || ''}` });
  }
};
const blob = (at) => new BlockBlobClient(`https://${at.hostName}/${at.containerName}/${at.blobName}${at.sasToken}`, newPipeline(new AnonymousCredential()));
const named = (name) => { const err = new Error(name); err.name = name; return err; };

async function main([serviceString, deviceString]) {
  const client = service.Client.fromConnectionString(serviceString);
  await client.open();
  const { result: files } = await client.getFileNotificationReceiver();
  const heard = [];
  let more = () => {};
  let settle = 'abandon';
  files.on('message', (m) => {
    files[settle](m).catch(() => say({ step: settle, error: 'refused' })); // now: the library accepts it when this returns
    settle = 'complete';
    heard.push(m);
    more();
  });
  const next = async () => {
    const late = Date.now() + 30000;
    while (heard.length === 0) {
      await new Promise((done) => { more = done; setTimeout(done, 1000); });
      if (Date.now() > late) throw named('nothing came');
    }
    return heard.shift();
  };
  const shown = (m) => {
    const { deviceId, blobName, blobSizeInBytes, blobUri, lastUpdatedTime, enqueuedTimeUtc } = JSON.parse(m.getData().toString());
    const fresh = (at) => Math.abs(Date.now() - Date.parse(at)) < 120000;
    return { deviceId, blobName, blobSizeInBytes, uri: decodeURI(blobUri).endsWith(`/uploads/${blobName}`), fresh: fresh(lastUpdatedTime) && fresh(enqueuedTimeUtc), type: m.contentType };
  };

  const device = Client.fromConnectionString(deviceString, Mqtt);
  device.setRetryPolicy(new NoRetry());
  const large = Buffer.alloc(9 << 20, 'x'); // in three blocks
  await step('upload', () => device.uploadToBlob('logs/large.bin', Readable.from([large]), large.length));
  await step('first notification', async () => shown(await next()));
  await step('the same again', async () => shown(await next()));

  let at;
  await step('address', async () => {
    at = await device.getBlobSharedAccessSignature('a small file.txt');
    return { containerName: at.containerName, blobName: at.blobName };
  });
  await step('put', async () => (await blob(at).upload('hello', 5)).errorCode);
  await step('read', async () => String(await blob(at).downloadToBuffer()));
  await step('put elsewhere', async () => {
    const other = { ...at, blobName: 'somebody/else.txt' };
    try { await blob(other).upload('hello', 5); } catch (err) { throw named(`status ${err.statusCode}`); }
  });
  await step('notify', () => device.notifyBlobUploadStatus(at.correlationId, true, 201, 'put'));
  await step('second notification', async () => shown(await next()));
  await step('notify again', () => device.notifyBlobUploadStatus(at.correlationId, true, 201, 'put'));

  at = await device.getBlobSharedAccessSignature('never.txt');
  await step('a file that is not there', () => device.notifyBlobUploadStatus(at.correlationId, true, 201, 'put'));
  await step('one that failed', () => device.notifyBlobUploadStatus(at.correlationId, false, 500, 'sorry'));
  await step('no such name', () => device.getBlobSharedAccessSignature('../other/a.txt'));
  await step('too many', async () => {
    for (let n = 0; ; n++) {
      try {
        at = await device.getBlobSharedAccessSignature(`${n}.txt`);
      } catch (err) {
        throw named(`after ${n} ${err.responseBody.split(/[:;]/)[2]}`);
      }
    }
  });
  await step('one that ends makes place', async () => {
    await device.notifyBlobUploadStatus(at.correlationId, false, 500, '');
    await device.getBlobSharedAccessSignature('after.txt');
  });
  await client.close();
  say({ step: 'heard besides', value: heard.length });
}

setTimeout(() => { console.error('it took too long after', said); process.exit(1); }, 90000).unref();
main(process.argv.slice(2)).then(() => process.exit(0), (err) => { console.error(err); process.exit(1); });
