# The confidential worker for builders that want a Dockerfile. Beside it lies the rootfs.tar of
# `python -m apps.images build`; nothing is fetched or run while this is built. Its digest depends on the builder:
# the reference value is the one that apps.images prints for its own image.tar.
FROM scratch
ADD rootfs.tar /
LABEL "tee.launch_policy.allow_cmd_override"="false" \
      "tee.launch_policy.allow_env_override"="" \
      "tee.launch_policy.log_redirect"="never" \
      "tee.launch_policy.monitoring_memory_allow"="never"
ENTRYPOINT ["/usr/bin/python3.11", "-I", "-B", "-m", "apps.confidential_worker"]
CMD ["--listen", "tcp:9443", "--evidence", "confidential-space"]
