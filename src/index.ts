// The public API: other teams may import this and nothing else.
export { createApplication } from './application.js';
export { runCommandLine } from './cli/run.js';
export { AppModule } from './app.module.js';
export type { Additions, AsyncComposition, Composition, Ports, Setup } from './composition.js';
export { NoThreepids, ThreepidDirectory } from './accounts/threepid-directory.port.js';
export { PasswordPolicy } from './accounts/password-policy.port.js';
export { ListPasswordPolicy } from './accounts/password-policy.js';
export { OwnPasswords, PasswordVerifier } from './accounts/password-verifier.port.js';
export {
  CurrentDevice,
  CurrentRequester,
  ExpiredTokenAllowed,
  GuestsAllowed,
  LockedUserAllowed,
  PresentedToken,
  Public,
  TokenOptional,
} from './auth/auth.decorators.js';
export { BearerGuard } from './auth/bearer.guard.js';
export type { Requester, RequesterDevice } from './auth/requester.js';
export { requireServerAdmin } from './admin-api/server-admin.rules.js';
export { Environment, EnvironmentError } from './config/environment.js';
export type { Limits } from './config/limits.js';
export type { RateLimit, RateLimitName } from './config/rate-limits.js';
export type { Part } from './config/parts.js';
export type { DatabaseLocation } from './database/data-source.js';
export type { MigrationClass } from './database/own-migrations.js';
export { EmbeddedPostgres, type EmbeddedPostgresOptions } from './database/embedded/embedded-postgres.js';
export { type Statement, Tx } from './database/tx.js';
export { UnitOfWork } from './database/unit-of-work.js';
export { DeviceTables, type ManyRows } from './device-rows/device-tables.js';
export { type SessionInfo, Sessions } from './devices/sessions.js';
export {
  type DeletedDevice,
  type DeletionReason,
  deviceColumns,
  type DeviceRef,
  DevicesDeleted,
} from './events/devices-deleted.event.js';
export { AfterCommit, type Delivery } from './events/after-commit.decorator.js';
export { DeviceCreated } from './events/device-created.event.js';
export {
  type DeviceListChange,
  type DeviceListChangeKind,
  DeviceListsChanged,
} from './events/device-lists-changed.event.js';
export { DeviceRenamed } from './events/device-renamed.event.js';
export { EventBus } from './events/event-bus.js';
export { AccountDeactivated } from './events/account-deactivated.event.js';
export { AccountRegistered } from './events/account-registered.event.js';
export { AccountRestricted } from './events/account-restricted.event.js';
export { InTransaction } from './events/in-transaction.decorator.js';
export { PasswordChanged } from './events/password-changed.event.js';
export { SessionEvent, type SessionEventType, type UserPart } from './events/session-event.js';
export { SessionStarted } from './events/session-started.event.js';
export type { About, OriginOf, Origins } from './events/origins.js';
export { type EndReason, SessionsEnded } from './events/sessions-ended.event.js';
export { type ChangedUsers, DeviceListsService } from './keys/device-lists/device-lists.service.js';
export type { NewChange } from './keys/device-lists/device-lists.rules.js';
export { NoSharedRooms, SharedRooms, type SharedRoomsInSpan } from './keys/device-lists/shared-rooms.port.js';
export {
  type ForwardedAnswer,
  type ForwardedRequest,
  Homeserver,
  type HomeserverDevice,
  HomeserverRefusal,
  NoHomeserver,
} from './homeserver/homeserver.port.js';
export type { HomeserverSettings } from './config/homeserver.js';
export { ApiAccessToken, ApiMatrixError } from './matrix/api.decorators.js';
export { ClientController, MatrixPost } from './matrix/client-api.decorators.js';
export { ClientOrigin, type Origin } from './matrix/client-origin.decorator.js';
export { OptionalBody, WithoutBody } from './matrix/json-body.guard.js';
export { matrixExpress } from './matrix/http.js';
export { type Errcode, ErrorAnswer, MatrixError } from './matrix/matrix-error.js';
export { type GaugeValue, type MetricDescription, Metrics } from './metrics/metrics.js';
export { type Attempt, type OwnRateLimit, RateLimiter } from './admission/rate-limiter.js';
export { Clock, SystemClock } from './system/clock.js';
export { Entropy, SystemEntropy } from './system/entropy.js';
export { html, Html, type Part as HtmlPart } from './account-pages/html.js';
export { PageTemplates } from './account-pages/page-templates.js';
export type {
  AccountView,
  ActivityView,
  AppView,
  BrowserView,
  ChangePasswordView,
  ConsentView,
  DeactivateView,
  EndView,
  LinkTo,
  LinkView,
  Look,
  OtherSignIn,
  PageContext,
  ProofView,
  RegisterView,
  ResetView,
  SessionView,
  SignInElsewhere,
  SignInView,
  StageView,
} from './account-pages/templates/views.js';
export type { Texts } from './account-pages/texts/en.js';
export type { OAuthSettings } from './config/oauth.js';
export {
  type LoginContext,
  LoginFlow,
  type LoginElsewhere,
  type LoginForm,
  LoginFlows,
} from './session/login/login-flow.port.js';
export { type Flow, type GuardedCall, OwnFlows, UiaFlows } from './uia/uia-flows.port.js';
export { type Proven, type StageAttempt, UiaRefusal, UiaStage } from './uia/uia-stage.port.js';
export { UiaStages } from './uia/uia-stages.js';
