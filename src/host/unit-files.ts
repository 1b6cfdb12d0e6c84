// Where the files of a systemd unit are, when pgs writes them.

const unitDir = '/etc/systemd/system';

/** The unit's own file, then that of its template if it is an instance (`pgs-x@acme.service` of `pgs-x@.service`). */
export function unitFilePaths(unit: string): string[] {
  const template = /^([^@]+@)[^@]+(\.[a-z]+)$/.exec(unit);
  return [`${unitDir}/${unit}`, ...(template ? [`${unitDir}/${template[1]}${template[2]}`] : [])];
}

/** Whether a change of this path changes the unit: its file, its template, or a drop-in of one of them. */
export function isFileOfUnit(path: string, unit: string): boolean {
  return unitFilePaths(unit).some((file) => path === file || path.startsWith(`${file}.d/`));
}

export function isUnitFile(path: string): boolean {
  return path.startsWith(`${unitDir}/`);
}
