// What is made once for a value and asked for often, such as what many hosts share.

/**
 * `make`, called once for each value that is asked about; what it gave is kept as long as the value is. For values that nobody changes: they
 * are told apart by identity.
 */
export function rememberedFor<K extends object, V extends NonNullable<unknown>>(make: (of: K) => V): (of: K) => V {
  const all = new WeakMap<K, V>();
  return (of) => {
    const known = all.get(of);
    if (known !== undefined) return known;
    const made = make(of);
    all.set(of, made);
    return made;
  };
}
