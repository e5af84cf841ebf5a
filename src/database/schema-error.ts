import { EnvironmentError } from '../config/environment.js';

/** The schema is not what this version, or the caller, needs. */
export class SchemaError extends EnvironmentError {}
