/** Long enough for open requests to end and for the pending writes after them, once `SHUTDOWN_DELAY` has passed. */
export const STOP_DEADLINE_MS = 25_000;
/** The process that has started several others waits a little longer than they may take. */
export const PRIMARY_STOP_DEADLINE_MS = 27_000;
