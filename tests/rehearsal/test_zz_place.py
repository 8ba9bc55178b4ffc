from pathlib import Path
from tests.rehearsal.plugin import *
def test_it(cuda_rehearsal):
    nodes=cuda_rehearsal.placement_of(Path('/tmp/w/det/p.onnx'))
    print({k.split()[1] for k,v in nodes.items() if 'CUDA' not in v}, len(nodes))
