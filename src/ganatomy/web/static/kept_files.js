// @ts-check
/** Files of opened photographs, kept by the browser, so that a page that is loaded again still has them. */

const STORE = "photographs";
const MOST = 8;

/** Keep a file under an id, and forget the oldest of more than a few. @param {number} id @param {File} file */
export async function keepFile(id, file) {
  const database = await open();
  if (!database) return;
  const store = database.transaction(STORE, "readwrite").objectStore(STORE);
  store.put({ id, file, at: Date.now() });
  /** @type {{id: number, at: number}[]} */
  const all = await result(store.getAll()) ?? [];
  const old = all.sort((one, other) => other.at - one.at).slice(MOST);
  await Promise.all(old.map((each) => result(store.delete(each.id))));
  database.close();
}

/** The file that is kept under an id, or null. @param {number} id @returns {Promise<File | null>} */
export async function keptFile(id) {
  const database = await open();
  if (!database) return null;
  const found = await result(database.transaction(STORE).objectStore(STORE).get(id));
  database.close();
  return found?.file ?? null;
}

/** The database; null where the browser keeps none, as in some private windows. @returns {Promise<IDBDatabase | null>} */
async function open() {
  const request = indexedDB.open("ganatomy", 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
  return result(request);
}

/** What a request finds; null where it fails, as on a full disk. @template T @param {IDBRequest<T>} request @returns {Promise<T | null>} */
function result(request) {
  return new Promise((resolve) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = (event) => { event.preventDefault(); resolve(null); };
  });
}
