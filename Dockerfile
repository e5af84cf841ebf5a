# Current LTS of Node; the service also runs on 20, 22 and 24.
FROM node:26-slim AS base
WORKDIR /app
COPY package.json package-lock.json ./

FROM base AS build
RUN npm ci --ignore-scripts
COPY nest-cli.json .swcrc tsconfig.json tsconfig.build.json bundle.mjs ./
COPY src ./src
RUN npm run build

# The embedded PostgreSQL is a development dependency: production brings its own.
FROM base AS dependencies
RUN npm ci --ignore-scripts --omit=dev

FROM node:26-slim
WORKDIR /app
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8008
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json LICENSE ./
USER node
EXPOSE 8008
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/health/ready`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "dist/main.js"]
