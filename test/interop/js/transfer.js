// Exports and imports the identities of a hub with the official service SDK.
//
//   node transfer.js SERVICE_CONNECTION_STRING STORAGE_CONNECTION_STRING
//
// Each line of its output is a step: {"step","value"} or {"step","error"}.
'use strict';
const { Registry } = require('azure-iothub');
const { BlobServiceClient, ContainerSASPermissions, SASProtocol, StorageSharedKeyCredential, generateBlobSASQueryParameters } = require('@azure/storage-blob');

const said = [];
const say = (line) => { said.push(line); console.log(JSON.stringify(line)); };
const step = async (name, what) => {
  try {
    say({ step: name, value: await what() });
  } catch (err) {
    say({ step: name, error: err.name, text: err.message });
  }
};
const body = (answer) => answer.responseBody || answer;

async function main([serviceString, storageString]) {
  const registry = Registry.fromConnectionString(serviceString);
  const service = BlobServiceClient.fromConnectionString(storageString);
  const container = service.getContainerClient('moves');
  await container.create();
  const [, name] = /AccountName=([^;]*)/.exec(storageString);
  const [, key] = /AccountKey=([^;]*)/.exec(storageString);
  const sas = generateBlobSASQueryParameters({
    containerName: 'moves', permissions: ContainerSASPermissions.parse('racwdl'), protocol: SASProtocol.Https, expiresOn: new Date(Date.now() + 3600000),
  }, new StorageSharedKeyCredential(name, key));
  const uri = `${container.url}?${sas}`;
  const read = async (blob) => String(await container.getBlobClient(blob).downloadToBuffer());
  const lines = async (blob) => (await read(blob)).split('\n').filter((line) => line).map((line) => JSON.parse(line));
  const ended = async (job) => {
    for (;;) {
      const now = body(await registry.getJob(job.jobId));
      if (!['enqueued', 'running'].includes(now.status)) return now;
      await new Promise((done) => setTimeout(done, 50));
    }
  };
  const run = async (job) => {
    const { type, status, progress, failureReason, outputBlobName } = await ended(body(job));
    return { type, status, progress, failureReason, outputBlobName };
  };

  for (const device of [{ deviceId: 'a' }, { deviceId: 'b', status: 'disabled' }, { deviceId: 'e', capabilities: { iotEdge: true } }]) await registry.create(device);
  await registry.addModule({ deviceId: 'a', moduleId: 'm' });
  await registry.updateTwin('a', { tags: { site: 'hall 4' }, properties: { desired: { interval: 10 } } }, '*');
  const keyOf = async (id) => body(await registry.get(id)).authentication.symmetricKey.primaryKey;
  const before = await keyOf('a');

  await step('export', async () => run(await registry.exportDevicesToBlob(uri, false)));
  const exported = await lines('devices.txt');
  await step('exported', async () => exported.map((d) => `${d.id}/${d.moduleId || ''} ${d.status || ''} ${d.authentication.symmetricKey.primaryKey ? 'key' : 'no key'} ${JSON.stringify(d.tags)} ${d.properties.desired.interval || ''}`));
  await step('export without keys', async () => {
    const result = await run(await registry.exportDevicesToBlob(uri, true));
    return { ...result, keys: (await lines('devices.txt')).filter((d) => d.authentication.symmetricKey).length };
  });
  await step('delete all', async () => {
    for (const id of ['a', 'b', 'e']) await registry.delete(id);
  });
  const put = (list) => container.getBlockBlobClient('devices.txt').upload(list.map((d) => JSON.stringify(d)).join('\r\n'), Buffer.byteLength(list.map((d) => JSON.stringify(d)).join('\r\n')));
  await put(exported);
  await step('import', async () => run(await registry.importDevicesFromBlob(uri, uri)));
  await step('errors', async () => read('importErrors.log'));
  await step('a is back', async () => {
    const twin = body(await registry.getTwin('a'));
    return { key: await keyOf('a') === before, tags: twin.tags, interval: twin.properties.desired.interval, modules: body(await registry.getModulesOnDevice('a')).map((m) => m.moduleId) };
  });
  await step('b is', async () => body(await registry.get('b')).status);
  await step('e has', async () => body(await registry.getModulesOnDevice('e')).map((m) => m.moduleId));
  await step('import again', async () => run(await registry.importDevicesFromBlob(uri, uri)));
  await put([{ id: 'a', importMode: 'create' }, { id: 'new' }, { id: 'b', importMode: 'delete' }, { id: 'nobody', importMode: 'update' }, { id: 'sp ace' }]);
  await step('import with errors', async () => run(await registry.importDevicesFromBlob(uri, uri)));
  await step('the errors', async () => (await lines('importErrors.log')).map((e) => `${e.deviceId} ${e.errorCode}`));
  await step('left', async () => body(await registry.list()).map((d) => d.deviceId));
  await step('a container that is not there', async () => run(await registry.importDevicesFromBlob(uri.replace('/moves?', '/nothing?'), uri)));
  await step('no container', async () => registry.exportDevicesToBlob('nowhere', true));
  await step('jobs', async () => body(await registry.listJobs()).map((j) => `${j.type} ${j.status}`));
  await step('cancel', async () => registry.cancelJob('nothing'));
}

setTimeout(() => { console.error('it took too long after', said); process.exit(1); }, 90000).unref();
main(process.argv.slice(2)).then(() => process.exit(0), (err) => { console.error(said, err); process.exit(1); });
