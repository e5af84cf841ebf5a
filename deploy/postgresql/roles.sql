-- Two roles: matrix_session_owner owns the tables and migrates them, matrix_session serves. Run it with psql as a
-- superuser, once, then give both roles a password with \password.
CREATE ROLE matrix_session_owner LOGIN;
CREATE ROLE matrix_session LOGIN;
CREATE DATABASE matrix_session OWNER matrix_session_owner TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C';
REVOKE ALL ON DATABASE matrix_session FROM PUBLIC;
GRANT CONNECT ON DATABASE matrix_session TO matrix_session;

\connect matrix_session
GRANT USAGE ON SCHEMA public TO matrix_session;
-- Tables that are there already, and those that migrations will make. The service needs no sequence.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO matrix_session;
ALTER DEFAULT PRIVILEGES FOR ROLE matrix_session_owner IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO matrix_session;
