# The image of both programs: docker build -t registry.example/circ:0.1.0 .
# `npm run image` makes the same one without Docker; what is in it is decided in scripts/image/.
FROM node:26.10.0-bookworm AS build
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci
COPY . .
RUN npm run image -- --layers /image

FROM scratch
# In the order of how seldom they change: nodes pull only what is new.
COPY --from=build /image/runtime /
COPY --from=build /image/modules /
COPY --from=build /image/programs /
LABEL org.opencontainers.image.title=circ org.opencontainers.image.version=0.1.0 org.opencontainers.image.licenses=Apache-2.0
ENV PATH=/usr/local/bin NODE_ENV=production
WORKDIR /app
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/node"]
CMD ["agent/main.js", "--help"]
