"""What is computed of opened updates: clipping, sums and noise, on whole numbers.

Knows arrays, secret bytes and a reader of blobs; must not know who wrote what, where blobs come from, or torch.
All of it is a function of the bytes that the manifest fixes: no clock, no chance, no sum that depends on an
order or a machine. So none of it uses ``np.dot`` or ``@``: these add floats in an order that the number of
threads decides.
"""
