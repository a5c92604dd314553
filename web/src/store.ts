// Conversations and their files in the browser's own database. Where it has none (some private
// windows), they last as long as the page.
import type { Conversation } from "./types";
import { newId } from "./tree";

const NAME = "ernie";
let database: IDBDatabase | null = null;
const memory = new Map<string, Blob>();

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

export async function open(): Promise<boolean> {
  try {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("conversations", { keyPath: "id" });
      request.result.createObjectStore("files");
    };
    database = await done(request);
  } catch {
    database = null;
  }
  return database !== null;
}

function objects(name: string, mode: IDBTransactionMode = "readonly"): IDBObjectStore | undefined {
  return database?.transaction(name, mode).objectStore(name);
}

export async function all(): Promise<Conversation[]> {
  const store = objects("conversations");
  return store ? done(store.getAll() as IDBRequest<Conversation[]>) : [];
}

export async function get(id: string): Promise<Conversation | undefined> {
  const store = objects("conversations");
  return store ? done(store.get(id) as IDBRequest<Conversation | undefined>) : undefined;
}

export async function put(conversation: Conversation) {
  const store = objects("conversations", "readwrite");
  if (store) await done(store.put(conversation));
}

export async function remove(id: string) {
  const store = objects("conversations", "readwrite");
  if (store) await done(store.delete(id));
}

export async function putFile(blob: Blob): Promise<string> {
  const id = newId();
  const store = objects("files", "readwrite");
  if (store) await done(store.put(blob, id));
  else memory.set(id, blob);
  return id;
}

export async function file(id: string): Promise<Blob | undefined> {
  const store = objects("files");
  return store ? done(store.get(id) as IDBRequest<Blob | undefined>) : memory.get(id);
}

export async function fileIds(): Promise<string[]> {
  const store = objects("files");
  return store ? (await done(store.getAllKeys())).map(String) : [...memory.keys()];
}

export async function removeFile(id: string) {
  memory.delete(id);
  const store = objects("files", "readwrite");
  if (store) await done(store.delete(id));
}

export function dataUrl(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result as string);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}
