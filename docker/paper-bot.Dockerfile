# The image of a paper bot: bot-fourni with its simulated terminal.
# tools/bootstrap.mjs builds it; by hand, from the root of the repository:
#   docker build -f docker/paper-bot.Dockerfile -t tradefleet/paper-bot:dev .
ARG BASE=debian:bookworm-slim
FROM ${BASE}

# One layer, so that what is removed takes no room; it does not depend on the bot's sources.
RUN set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update; \
    apt-get install -y --no-install-recommends python3 python3-numpy tini; \
    apt-get clean; \
    rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/*; \
    groupadd --gid 911 tradefleet; \
    useradd --uid 911 --gid 911 --no-create-home --home-dir /config --shell /usr/sbin/nologin tradefleet; \
    # A named volume mounted here takes over this owner.
    install -d -o 911 -g 911 -m 0700 /config; \
    install -d -m 0755 /run/tradefleet /opt/tradefleet; \
    # Nothing in here may raise its privileges, whatever the container is started with.
    find / -xdev -perm /6000 -exec chmod a-s {} +

COPY bot-fourni/ /opt/tradefleet/

# The root is read-only at run time, so the byte code is made now; it is never checked against
# the sources again, and neither can be written by the bot.
RUN set -eu; \
    chown -R root:root /opt/tradefleet; \
    python3 -m compileall -q --invalidation-mode unchecked-hash /opt/tradefleet; \
    chmod -R a-w,a+rX /opt/tradefleet

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1

ARG VERSION=dev
LABEL org.opencontainers.image.title="Tradefleet paper bot" \
      org.opencontainers.image.description="A trading bot on a simulated MetaTrader 5 terminal" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.vendor="Tradefleet" \
      org.opencontainers.image.version="${VERSION}"

USER 911:911
WORKDIR /opt/tradefleet
STOPSIGNAL SIGTERM
# status.json is written every 2 s and counts as fresh for 15 s.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["/usr/bin/python3", "/opt/tradefleet/healthcheck.py"]
ENTRYPOINT ["/usr/bin/tini", "--", "/usr/bin/python3", "/opt/tradefleet/supervisor.py"]
