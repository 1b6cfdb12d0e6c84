// What is wrong in what somebody wrote.

/** At the place that has to change; whoever has the text knows the line. */
export interface Fault {
  path: PropertyKey[];
  message: string;
  /** Marks the key itself, not its value. */
  at?: 'key' | 'value';
}
