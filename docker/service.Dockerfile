# The image of one of the five services (scheduler, agent, audit, secrets, gateway):
#   docker build -f docker/service.Dockerfile --build-arg SERVICE=scheduler -t tradefleet/scheduler:dev .
ARG NODE_IMAGE=node:24-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /src
COPY package.json package-lock.json ./
# Not `npm ci`: it refuses a lock file that lacks the optional packages of other platforms.
# The locked versions are installed all the same, and the lock file is not rewritten.
RUN npm install --no-save --include=dev --no-audit --no-fund
COPY nest-cli.json tsconfig.json .swcrc ./
COPY services services
COPY libs libs
COPY cli cli
COPY deploy/local deploy/local
COPY bench bench
COPY tools/generate tools/generate
RUN npx nest build --all --parallel \
    && npm prune --no-save --omit=dev --no-audit --no-fund
ARG SERVICE
# Which service it is becomes a link, because an ENTRYPOINT cannot contain a build argument.
RUN test -f "dist/services/${SERVICE:?pass --build-arg SERVICE=...}/src/main.js" \
    && ln -s "dist/services/${SERVICE}/src" service

FROM ${NODE_IMAGE}
WORKDIR /opt/tradefleet
# Everything stays owned by root: the service reads its code and cannot change it.
COPY --from=build /src/package.json ./
COPY --from=build /src/node_modules node_modules
COPY --from=build /src/dist dist
COPY --from=build /src/service service
RUN find / -xdev -perm /6000 -exec chmod a-s {} +
ENV NODE_ENV=production
ARG SERVICE
ARG VERSION=dev
LABEL org.opencontainers.image.title="Tradefleet ${SERVICE}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.vendor="Tradefleet" \
      org.opencontainers.image.version="${VERSION}"
USER 911:911
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "--enable-source-maps", "service/main.js"]
