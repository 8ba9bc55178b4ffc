from tests.rehearsal.plugin import cuda_rehearsal

__all__ = ["cuda_rehearsal"]
