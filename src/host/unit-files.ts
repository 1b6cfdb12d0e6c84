// Where the files of a systemd unit are, when pgs writes them.

const unitDir = '/etc/systemd/system';

/** The unit's own file, then that of its template if it is an instance (`pgs-x@acme.service` of `pgs-x@.service`). */
export function unitFilePaths(unit: string): string[] {
  const template = /^([^@]+@)[^@]+(\.[a-z]+)$/.exec(unit);
  return [`${unitDir}/${unit}`, ...(template ? [`${unitDir}/${template[1]}${template[2]}`] : [])];
}

/** Whether a change of this path changes the unit: its file, its template, or a drop-in of one of them. */
export function fileOfUnit(unit: string): (path: string) => boolean {
  const files = unitFilePaths(unit);
  const dropIns = files.map((file) => `${file}.d/`);
  // Asked of every file that a unit could load, and most are elsewhere.
  return (path) => isUnitFile(path) && (files.includes(path) || dropIns.some((folder) => path.startsWith(folder)));
}

export function isUnitFile(path: string): boolean {
  return path.startsWith(`${unitDir}/`);
}
