"""GPU (NVML) and host (psutil) figures."""
