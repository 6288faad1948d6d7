"""Its table."""

from django.db import models


class Check(models.Model):
    token = models.TextField(primary_key=True)
    begun = models.DateTimeField()
    delivery = models.TextField(null=True, unique=True)  # noqa: DJ001 - none until accepted
    verdict = models.TextField(null=True)  # noqa: DJ001

    def __str__(self) -> str:
        return f"check {self.pk}"
