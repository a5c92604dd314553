// What the browser keeps for pages. Browsers that are told to keep nothing throw when it is touched,
// or when it is full: then what is written holds as long as the page.
class Kept {
  private readonly own = new Map<string, string>();

  constructor(private readonly storage: () => Storage) {}

  get(key: string): string | null {
    const own = this.own.get(key);
    if (own !== undefined) return own;
    try {
      return this.storage().getItem(key);
    } catch {
      return null;
    }
  }

  set(key: string, value: string) {
    this.own.delete(key);
    try {
      this.storage().setItem(key, value);
    } catch {
      this.own.set(key, value);
    }
  }

  remove(key: string) {
    this.own.delete(key);
    try {
      this.storage().removeItem(key);
    } catch {
      // There is nothing to remove.
    }
  }

  keys(): string[] {
    try {
      return [...Object.keys(this.storage()), ...this.own.keys()];
    } catch {
      return [...this.own.keys()];
    }
  }
}

export const local = new Kept(() => localStorage);
export const session = new Kept(() => sessionStorage);
