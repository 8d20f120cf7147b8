# Listing 2 of the paper ("Quadro 2") as it stands there; only the imports are ours. Run as a process of its own
# by tests/sdk/federated/test_remote_listing.py.
# ruff: noqa
# fmt: off
from remote_setting import datasets, finish, model, optims


# -- Listing 2 -----------------------------------------------------------------------------------------
def train():
    # Training Logic
    for iter in range(10):
        # NEW) iterate through each worker's dataset
        for data,target in datasets:
            # NEW) send model to correct worker
            model.send(data.location)
            # Call the optimizer for the worker
            # using get_optim
            opt = optims.get_optim(data.location.id)
            # 1) erase previous gradients (if they exist)
            opt.zero_grad()
            # 2) make a prediction
            pred = model(data)
            # 3) calculate how much we missed
            loss = ((pred - target)**2).sum()
            # 4) figure out which weights caused us to miss
            loss.backward()
            # 5) change those weights
            opt.step()
            # NEW) get model (with gradients)
            model.get()
            # 6) print our progress
            print(loss.get().data)


train()
finish()
